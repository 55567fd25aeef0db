//! Handshakes between two nodes, with another program, and with an attacker.

use std::sync::Arc;

use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::transport::hello::Purpose;
use crate::transport::testing::{MemoryNetwork, fabric, hello, identity};

type AcceptResult = Result<(Hello, ()), HandshakeError>;

fn with(secret: Option<&str>) -> Fabric {
    fabric(MemoryNetwork::new(), secret)
}

/// The listener's side, as node 2.
async fn listen(mut stream: DuplexStream, identity: PeerIdentity, fabric: Fabric) -> AcceptResult {
    answer(&mut stream, &fabric, |_| Ok(identity.clone()), || Ok(())).await
}

async fn shake(
    hello: Hello,
    dialler: Fabric,
    identity: PeerIdentity,
    listener: Fabric,
) -> (Result<Hello, HandshakeError>, AcceptResult) {
    let (mut near, far) = duplex(1 << 16);
    let dialling = async move { dial(&mut near, hello, &dialler).await };
    tokio::join!(dialling, listen(far, identity, listener))
}

/// The code and reason with which the listener refused the dialler. Checks that both sides agree.
async fn refused(
    hello: Hello,
    dialler: Fabric,
    identity: PeerIdentity,
    listener: Fabric,
) -> (PeerRefusalCode, String) {
    let (dialled, answered) = shake(hello, dialler, identity, listener).await;
    let Err(HandshakeError::Refused(told)) = dialled else { panic!("the dialler got {dialled:?}") };
    let Err(HandshakeError::Refusing(meant)) = answered else {
        panic!("the listener got {answered:?}")
    };
    assert_eq!(told, meant);
    (told.code, told.reason)
}

/// Sends these bytes to a listener, and reads its refusal.
async fn refused_bytes(bytes: &[u8]) -> PeerRefusalCode {
    let (mut near, far) = duplex(1 << 16);
    let talking = async move {
        near.write_all(bytes).await.unwrap();
        let refusal = read(&mut near, HELLO).await.unwrap_err();
        let HandshakeError::Refused(refusal) = refusal else { panic!("{refusal:?}") };
        assert!(!refusal.reason.is_empty());
        refusal.code
    };
    tokio::join!(talking, listen(far, identity(2), with(None))).0
}

fn opening(hello: Hello, secured: bool) -> Opening {
    Opening { hello, secured, nonce: [9; 32] }
}

fn answer_hello() -> Hello {
    Hello { identity: identity(2), to_config_id: 1, purpose: Purpose::Control }
}

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    for secret in [None, Some("s3cret")] {
        let (dialled, answered) = shake(hello(), with(secret), identity(2), with(secret)).await;
        assert_eq!(dialled.unwrap(), answer_hello());
        assert_eq!(answered.unwrap().0, hello());
    }
}

#[tokio::test]
async fn a_node_without_cluster_id_may_talk_to_one_with_and_both_see_it() {
    let mut fresh = hello();
    fresh.identity.cluster_id = None;
    fresh.identity.empty = true;
    let (dialled, answered) = shake(fresh.clone(), with(None), identity(2), with(None)).await;
    assert_eq!(dialled.unwrap().identity.cluster_id, Some(7));
    assert_eq!(answered.unwrap().0, fresh);

    let empty = PeerIdentity { cluster_id: None, empty: true, ..identity(2) };
    let (dialled, answered) = shake(hello(), with(None), empty.clone(), with(None)).await;
    assert_eq!(dialled.unwrap().identity, empty);
    assert!(answered.is_ok());
}

#[tokio::test]
async fn another_cluster_or_another_node_is_refused() {
    let name = PeerIdentity { cluster_name: "other".to_owned(), ..identity(2) };
    let id = PeerIdentity { cluster_id: Some(8), ..identity(2) };
    let cases = [
        (name, PeerRefusalCode::CLUSTER_NAME, "this cluster is \"other\", not \"test\""),
        (id, PeerRefusalCode::CLUSTER_ID, "this cluster's id is 00000000000000000000000000000008"),
        (identity(3), PeerRefusalCode::ADDRESSEE, "this is node 3, not node 2"),
    ];
    for (identity, code, reason) in cases {
        let told = refused(hello(), with(None), identity, with(None)).await;
        assert_eq!(told.0, code);
        assert!(told.1.starts_with(reason), "{}", told.1);
    }
}

#[tokio::test]
async fn a_missing_or_wrong_secret_is_refused() {
    let cases = [
        (None, Some("a"), PeerRefusalCode::PROOF_MISSING, "node 1 has no cluster.secret"),
        (Some("a"), None, PeerRefusalCode::PROOF_UNEXPECTED, "node 2 has no cluster.secret"),
        (Some("a"), Some("b"), PeerRefusalCode::PROOF_WRONG, "the peer has another cluster.secret"),
    ];
    for (dialler, listener, code, reason) in cases {
        let told = refused(hello(), with(dialler), identity(2), with(listener)).await;
        assert_eq!(told, (code, reason.to_owned()));
    }
}

#[tokio::test]
async fn the_layer_above_may_refuse_before_and_the_server_after_the_proof() {
    let cases = [(Some(PeerRefusalCode(100)), None), (None, Some(PeerRefusalCode::BUSY))];
    for (above, after) in cases {
        let (mut near, mut far) = duplex(1 << 16);
        let refuse = |code: Option<PeerRefusalCode>| match code {
            Some(code) => Err(PeerRefusal::new(code, "no")),
            None => Ok(identity(2)),
        };
        let fabric = with(Some("s"));
        let (dialled, answered) = tokio::join!(
            dial(&mut near, hello(), &fabric),
            answer(&mut far, &fabric, |_| refuse(above), || refuse(after).map(|_| ())),
        );
        let code = above.or(after).unwrap();
        assert!(
            matches!(dialled, Err(HandshakeError::Refused(told)) if told == PeerRefusal::new(code, "no"))
        );
        assert!(matches!(answered, Err(HandshakeError::Refusing(_))));
    }
}

#[tokio::test]
async fn what_does_not_speak_the_protocol_is_told_so() {
    let mut http = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    http.resize(5000, b' ');
    assert_eq!(refused_bytes(&http).await, PeerRefusalCode::MAGIC);

    let mut newer = message(HELLO, b"whatever").unwrap();
    newer[4..6].copy_from_slice(&2_u16.to_be_bytes());
    assert_eq!(refused_bytes(&newer).await, PeerRefusalCode::PROTOCOL);

    let mut long = message(HELLO, b"").unwrap();
    long[7..9].copy_from_slice(&4097_u16.to_be_bytes());
    assert_eq!(refused_bytes(&long).await, PeerRefusalCode::MALFORMED);

    let early = message(PROOF, &[0; 32]).unwrap();
    assert_eq!(refused_bytes(&early).await, PeerRefusalCode::MALFORMED);

    let whole = opening(hello(), false).encode().unwrap();
    for end in 0..whole.len() {
        let cut = message(HELLO, &whole[..end]).unwrap();
        assert_eq!(refused_bytes(&cut).await, PeerRefusalCode::MALFORMED, "cut at {end}");
    }
}

#[tokio::test]
async fn a_refusal_is_understood_in_any_version() {
    let (mut near, mut far) = duplex(1 << 16);
    let refusal =
        PeerRefusal::new(PeerRefusalCode::PROTOCOL, "this node speaks peer protocol 9, not 1");
    let mut told = message(REFUSAL, &refusal.encode()).unwrap();
    told[4..6].copy_from_slice(&9_u16.to_be_bytes());
    far.write_all(&told).await.unwrap();
    let dialled = dial(&mut near, hello(), &with(None)).await;
    assert!(matches!(dialled, Err(HandshakeError::Refused(got)) if got == refusal));
}

/// A forged listener. It answers the hello with `said` and the proof with the result of `welcome`.
/// Returns the error of the dialler and the code that the dialler sent.
async fn impostor(
    said: Opening,
    welcome: fn(&[u8]) -> Vec<u8>,
) -> (HandshakeError, PeerRefusalCode) {
    let (mut near, mut far) = duplex(1 << 16);
    let fabric = with(Some("s"));
    let dialling = async move { dial(&mut near, hello(), &fabric).await.unwrap_err() };
    let lying = async move {
        read(&mut far, HELLO).await.unwrap();
        far.write_all(&message(HELLO, &said.encode().unwrap()).unwrap()).await.unwrap();
        match read(&mut far, PROOF).await {
            Ok(proof) => {
                let welcome = message(WELCOME, &welcome(body(&proof))).unwrap();
                far.write_all(&welcome).await.unwrap();
                read(&mut far, HELLO).await.unwrap_err()
            }
            Err(refused) => refused,
        }
    };
    let (fault, told) = tokio::join!(dialling, lying);
    let HandshakeError::Refused(told) = told else { panic!("the forged listener got {told:?}") };
    (fault, told.code)
}

#[tokio::test]
async fn an_impostor_is_refused_by_the_dialler() {
    let no_proof: fn(&[u8]) -> Vec<u8> = |_| Vec::new();
    let reflected: fn(&[u8]) -> Vec<u8> = <[u8]>::to_vec;
    let invented: fn(&[u8]) -> Vec<u8> = |_| vec![1; 32];
    let short: fn(&[u8]) -> Vec<u8> = |proof| proof[..16].to_vec();
    let mut other = answer_hello();
    other.identity.config_id = 3;
    let mut foreign = answer_hello();
    foreign.identity.cluster_id = Some(8);
    let mut misread = answer_hello();
    misread.purpose = Purpose::Snapshot;
    let cases = [
        (opening(answer_hello(), true), no_proof, PeerRefusalCode::PROOF_MISSING),
        (opening(answer_hello(), false), no_proof, PeerRefusalCode::PROOF_MISSING),
        (opening(answer_hello(), true), reflected, PeerRefusalCode::PROOF_WRONG),
        (opening(answer_hello(), true), invented, PeerRefusalCode::PROOF_WRONG),
        (opening(answer_hello(), true), short, PeerRefusalCode::PROOF_WRONG),
        (opening(other, true), no_proof, PeerRefusalCode::ADDRESSEE),
        (opening(foreign, true), no_proof, PeerRefusalCode::CLUSTER_ID),
        (opening(misread, true), no_proof, PeerRefusalCode::MALFORMED),
    ];
    for (said, welcome, code) in cases {
        let (fault, told) = impostor(said, welcome).await;
        assert!(
            matches!(&fault, HandshakeError::Refusing(refusal) if refusal.code == code),
            "{fault:?}"
        );
        assert_eq!(told, code);
    }
}

#[tokio::test]
async fn a_proof_that_was_overheard_is_of_no_use() {
    let fabric = with(Some("s"));
    let said = message(HELLO, &opening(hello(), true).encode().unwrap()).unwrap();
    let mut overheard = None;
    for _ in 0..2 {
        let (mut near, far) = duplex(1 << 16);
        let talking = async {
            near.write_all(&said).await.unwrap();
            let heard = read(&mut near, HELLO).await.unwrap();
            let secret = fabric.secret.as_ref().unwrap();
            let proof = overheard
                .get_or_insert_with(|| secret.prove(HandshakeSide::Dialler, &said, &heard))
                .clone();
            near.write_all(&message(PROOF, &proof).unwrap()).await.unwrap();
            read(&mut near, WELCOME).await
        };
        // One listener for both attempts, so that its nonces do not repeat.
        let (welcomed, _) = tokio::join!(talking, listen(far, identity(2), fabric.clone()));
        match welcomed {
            Ok(_) => assert_eq!(overheard.as_ref().map(Vec::len), Some(32)),
            Err(HandshakeError::Refused(told)) => {
                assert_eq!(told.code, PeerRefusalCode::PROOF_WRONG);
                return;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("the second attempt was accepted");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_the_handshake_on_both_sides() {
    let (mut near, mut far) = duplex(1 << 16);
    let fabric = with(None);
    let begun = Instant::now();
    assert!(matches!(dial(&mut near, hello(), &fabric).await, Err(HandshakeError::Late)));
    assert_eq!(begun.elapsed().as_secs(), 1);
    let (_held, mut silent) = duplex(1 << 16);
    let begun = Instant::now();
    let answered = answer(&mut silent, &fabric, |_| Ok(identity(2)), || Ok(())).await;
    assert!(matches!(answered, Err(HandshakeError::Late)));
    assert_eq!(begun.elapsed().as_secs(), 1);

    // A refused peer that keeps the connection open gets no more time.
    let begun = Instant::now();
    near.write_all(b"something else").await.unwrap();
    let answered = answer(&mut far, &fabric, |_| Ok(identity(3)), || Ok(())).await;
    assert!(matches!(answered, Err(HandshakeError::Refusing(_))), "{answered:?}");
    assert_eq!(begun.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn an_end_during_the_handshake_is_an_error() {
    let (mut near, far) = duplex(1 << 16);
    drop(far);
    assert!(matches!(dial(&mut near, hello(), &with(None)).await, Err(HandshakeError::Broken(_))));
}

#[test]
fn a_hello_tells_the_number_of_the_process_and_one_of_the_first_version_tells_none() {
    let mut told = opening(hello(), true);
    let first = told.encode().unwrap();
    assert_eq!(Opening::decode(&first).unwrap(), told);
    for boot in [0, 250, u64::MAX] {
        told.hello.identity.boot = Some(boot);
        let mut bytes = told.encode().unwrap();
        assert!(bytes.starts_with(&first));
        assert_eq!(Opening::decode(&bytes).unwrap(), told);
        // A later version may append more.
        bytes.extend([1, 2, 3]);
        assert_eq!(Opening::decode(&bytes).unwrap(), told);
    }
}

#[test]
fn the_bytes_of_a_hello_never_change() {
    let mut hello = hello();
    hello.identity.cluster_id = Some(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    hello.identity.empty = true;
    let opening = Opening { hello, secured: true, nonce: [0xee; 32] };
    let bytes = message(HELLO, &opening.encode().unwrap()).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let golden = concat!(
        "504e4354000101004801047465737401fe100f0e0d0c0b0a090807060504030201fc01000100",
        "01020205302e312e300101eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
        "eeeeeeee"
    );
    assert_eq!(hex, golden);
    assert_eq!(Opening::decode(body(&bytes)).unwrap(), opening);
}

/// Nodes with another protocol version must be able to read it.
#[test]
fn the_bytes_of_a_refusal_never_change() {
    let refusal = PeerRefusal::new(PeerRefusalCode::PROTOCOL, "no");
    let bytes = message(REFUSAL, &refusal.encode()).unwrap();
    assert_eq!(bytes, b"PNCT\0\x01\x04\0\x04\0\x02no");
    assert_eq!(PeerRefusal::decode(body(&bytes)), refusal);
}

#[test]
fn the_bytes_of_a_proof_never_change() {
    let secret = ClusterSecret::new(b"secret").unwrap();
    let proof = secret.prove(HandshakeSide::Dialler, b"one", b"two");
    let hex: String = proof.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "db292d976507792c5f3635536ceddaf18f23eac459cfe5d2e26603ccbe5c3cad");
    assert!(secret.verify(HandshakeSide::Dialler, b"one", b"two", &proof).is_ok());
    assert!(secret.verify(HandshakeSide::Listener, b"one", b"two", &proof).is_err());
    assert!(secret.verify(HandshakeSide::Dialler, b"on", b"etwo", &proof).is_err());
}

#[test]
fn later_fields_are_skipped_and_unknown_purposes_are_not() {
    let mut opening = opening(hello(), false);
    opening.hello.identity.boot = Some(7);
    let mut longer = opening.encode().unwrap();
    longer.extend_from_slice(b"fields of a later level");
    assert_eq!(Opening::decode(&longer).unwrap(), opening);

    let purpose = Purpose::Control.number();
    let position = longer.windows(2).position(|pair| pair == [2, purpose]).unwrap() + 1;
    longer[position] = 9;
    assert_eq!(Opening::decode(&longer).unwrap_err().reason, "purpose 9 is unknown");
}

#[test]
fn a_hello_that_is_too_long_is_an_error_of_this_node() {
    let mut hello = hello();
    hello.identity.cluster_name = "x".repeat(MESSAGE_MAX);
    let encoded = opening(hello, false).encode().and_then(|body| message(HELLO, &body));
    assert_eq!(encoded.unwrap_err().code, PeerRefusalCode::MALFORMED);
}

#[test]
fn reasons_are_one_line_of_bounded_length() {
    let refusal = PeerRefusal::new(PeerRefusalCode(7), format!("a\nb\x1b[31m{}", "é".repeat(1000)));
    let read = PeerRefusal::decode(&refusal.encode());
    assert_eq!(read.code, PeerRefusalCode(7));
    assert!(read.reason.starts_with("a\u{fffd}b\u{fffd}[31mé"), "{}", read.reason);
    assert!(read.reason.chars().count() <= 512);
    assert_eq!(PeerRefusal::decode(&[1]).code, PeerRefusalCode::MALFORMED);
}

#[test]
fn a_secret_is_not_empty_and_not_shown() {
    assert!(ClusterSecret::new(b"").is_err());
    assert_eq!(format!("{:?}", ClusterSecret::new(b"hunter2")), "Ok(Secret)");
    let _: Arc<dyn Send> = Arc::new(ClusterSecret::new(b"x"));
}
