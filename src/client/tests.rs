//! Tests of the client with scripted servers that respond, refuse and disconnect.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const QUICK: Patience =
    Patience { repeat_for: Duration::from_secs(5), answer_within: Duration::from_secs(5) };
const ONCE: Patience =
    Patience { repeat_for: Duration::ZERO, answer_within: Duration::from_secs(5) };

/// The response of a scripted server to one request.
enum Act {
    Answer(u16, Value),
    /// A response from a program that is not a node.
    Foreign(u16),
    /// Bytes that are not HTTP.
    Bytes(&'static [u8]),
    HangUp,
}

/// A server that follows its script and records the requests.
async fn server(script: Vec<Act>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut script = VecDeque::from(script);
        while let Some(act) = script.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read(&mut stream).await;
            log.lock().push(request);
            let (status, sign, body) = match act {
                Act::Answer(status, body) => (status, "punctual-version: 0\r\n", body.to_string()),
                Act::Foreign(status) => (status, "", "{\"name\": \"a\"}".to_owned()),
                Act::Bytes(bytes) => {
                    stream.write_all(bytes).await.unwrap();
                    continue;
                }
                Act::HangUp => continue,
            };
            let head = format!(
                "HTTP/1.1 {status} X\r\n{sign}connection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

/// Reads a whole request: the head and the announced body.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").map_or(0, |text| text.parse().unwrap());
            if body.len() >= length {
                return text;
            }
        }
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request ends early: {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
}

fn header(request: &str, name: &str) -> Option<String> {
    request.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
    })
}

/// A port without a listener.
async fn nobody() -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}

fn problem(code: &str) -> Value {
    json!({"code": code, "detail": "it is so"})
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_takes_no_connection() {
    let (good, asked) =
        server(vec![Act::Answer(200, json!({"a": 1})), Act::Answer(200, json!([]))]).await;
    let client = Client::new(vec![nobody().await, good], QUICK).unwrap();
    let query = [("label", "a=b c".to_owned())];
    let reply = client.get(&path(["tasks", "ü/x y"]), &query).await.unwrap();
    assert_eq!((reply.status, reply.body), (200, json!({"a": 1})));
    client.get(&path(["tasks"]), &[]).await.unwrap();
    let asked = asked.lock();
    assert!(asked[0].starts_with("GET /api/v1/tasks/%C3%BC%2Fx%20y?label=a%3Db+c HTTP/1.1"));
    assert_eq!(client.preferred.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_write_is_repeated_under_the_same_key_until_it_is_answered() {
    let script = vec![
        Act::HangUp,
        Act::Answer(503, problem("no_leader")),
        Act::Answer(504, problem("outcome_unknown")),
        Act::Answer(201, json!({"name": "a"})),
    ];
    let (url, asked) = server(script).await;
    let client = Client::new(vec![url], QUICK).unwrap();
    let reply = client.post(&path(["tasks"]), &json!({"name": "a"})).await.unwrap();
    assert_eq!(reply.status, 201);
    let asked = asked.lock();
    let keys: Vec<_> = asked.iter().map(|request| header(request, IDEMPOTENCY_KEY)).collect();
    assert_eq!(keys.len(), 4);
    assert!(keys.iter().all(|key| *key == keys[0] && key.is_some()), "{keys:?}");
    assert!(asked.iter().all(|request| request.ends_with(r#"{"name":"a"}"#)));
    assert_eq!(header(&asked[0], "content-type").as_deref(), Some("application/json"));
}

#[tokio::test]
async fn how_it_ended_is_said_as_exactly_as_it_is_known() {
    for (acts, kind) in [
        (vec![Act::HangUp], ErrorKind::Unknown),
        (vec![Act::Answer(503, problem("not_accepted"))], ErrorKind::NotAccepted),
        (vec![Act::Answer(504, problem("outcome_unknown"))], ErrorKind::Unknown),
        (vec![Act::Answer(409, problem("task_exists"))], ErrorKind::Conflict),
    ] {
        let (url, _asked) = server(acts).await;
        let client = Client::new(vec![url], ONCE).unwrap();
        let error = client.send(Method::DELETE, "/x", &[], None, &[]).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    let (url, _asked) = server(vec![Act::HangUp]).await;
    let client = Client::new(vec![url], ONCE).unwrap();
    let error = client.get("/x", &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Broken(_)), "{error:?}");
    let client = Client::new(vec![nobody().await, nobody().await], QUICK).unwrap();
    let error = client.get("/x", &[]).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_write_that_may_have_been_done_stays_unknown_though_later_answers_are_plain() {
    let (url, _asked) = server(vec![Act::HangUp, Act::Answer(503, problem("no_leader"))]).await;
    let patience = Patience { repeat_for: Duration::from_millis(120), ..QUICK };
    let client = Client::new(vec![url], patience).unwrap();
    let error = client.send(Method::POST, "/x", &[], None, &[]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
}

#[tokio::test]
async fn what_is_no_node_is_never_believed() {
    for (act, said) in [
        (Act::Foreign(200), "is no punctual API: it answers with status 200"),
        (Act::Foreign(201), "is no punctual API: it answers with status 201"),
        (Act::Foreign(302), "is no punctual API: it answers with status 302"),
        (Act::Foreign(404), "is no punctual API: it answers with status 404"),
        (Act::Foreign(501), "is no punctual API: it answers with status 501"),
        (Act::Bytes(b"\0\x07hello\r\n\r\n"), "is no punctual API: what it sends is no HTTP"),
    ] {
        // The script has one act, so a second request would fail to connect.
        let (url, _asked) = server(vec![act]).await;
        let address = shown(&url).to_owned();
        let client = Client::new(vec![url], QUICK).unwrap();
        let error = client.post("/x", &json!({})).await.unwrap_err();
        assert_eq!(error, ClientError::Unreachable(format!("{address} {said}")));
    }
    let (other, _asked) = server(vec![Act::Foreign(200)]).await;
    let (node, _asked) = server(vec![Act::Answer(200, json!(7))]).await;
    let client = Client::new(vec![other, node], QUICK).unwrap();
    assert_eq!(client.get("/x", &[]).await.unwrap().body, json!(7), "the next node is tried");
}

#[tokio::test]
async fn a_proxy_that_reaches_no_node_is_asked_again() {
    let script = vec![Act::Foreign(502), Act::Foreign(503), Act::Answer(200, json!(7))];
    let (url, asked) = server(script).await;
    let client = Client::new(vec![url], QUICK).unwrap();
    assert_eq!(client.post("/x", &json!({})).await.unwrap().body, json!(7));
    assert_eq!(asked.lock().len(), 3);
    let (url, _asked) = server(vec![Act::Foreign(504)]).await;
    let client = Client::new(vec![url], ONCE).unwrap();
    let error = client.post("/x", &json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error}");
}

#[test]
fn odd_servers_are_refused() {
    assert!(Client::new(Vec::new(), QUICK).is_err());
    let ftp = Url::parse("ftp://localhost").unwrap();
    assert_eq!(Client::new(vec![ftp], QUICK).unwrap_err().kind(), ErrorKind::Invalid);
}
