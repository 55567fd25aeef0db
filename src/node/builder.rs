//! The settings of a node, in code.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::Error;
use super::functions::{FuncResult, handler};
use super::handle::Node;
use crate::config::{CodeSettings, Config, ConfigErrors, MemberSettings, Sources};
use crate::domain::assign::custom::{AssignmentStrategy, OwnStrategy};
use crate::domain::spec::strategy_word;
use crate::domain::task::Strategy;
use crate::exec::{FailedAttempt, FailureHook, Func, FuncContext, ShimProgram};
use crate::ops::Starts;

/// Where the settings below those of the program come from.
enum SettingsBase {
    /// The defaults.
    Defaults,
    /// The text of a settings file.
    Toml(String),
    /// A file, and the environment.
    File(PathBuf),
    /// All settings, already loaded.
    Loaded(Box<Config>),
}

/// The settings and functions of a node that is to be started.
///
/// Each setting is one of the file `configs/punctual.toml`, where it is explained; what is not set
/// has its default there. [`NodeBuilder::from_toml`] and [`NodeBuilder::from_file`] give the ones
/// for which there is no method. Methods are laid over them, in whatever order they are called.
///
/// ```no_run
/// # async fn start() -> Result<(), punctual::Error> {
/// let node = punctual::Node::builder()
///     .id(1)
///     .peers([(1, "127.0.0.1:7071"), (2, "127.0.0.1:7072"), (3, "127.0.0.1:7073")])
///     .data_dir("/var/lib/report/1")
///     .function("report", |call| async move {
///         call.output().line(format_args!("the report of {}", call.task()));
///         Ok(())
///     })
///     .on_error(|failed| eprintln!("{}: {}", failed.task, failed.reason))
///     .start()
///     .await?;
/// node.ready().await?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct NodeBuilder {
    base: SettingsBase,
    code: CodeSettings,
    id: u16,
    peers: Vec<MemberSettings>,
    plan: PlanParts,
}

/// What a node is made of beside its settings.
#[derive(Default)]
struct PlanParts {
    /// Nothing registers functions later.
    binary: bool,
    functions: Vec<(String, Func)>,
    failure_hook: Option<FailureHook>,
    strategy: Option<OwnStrategy>,
    shim: Option<ShimProgram>,
    bootstrap_without: Vec<u16>,
    bench: Option<Starts>,
    open_files: Option<u64>,
}

/// What a node is made of.
pub(super) struct NodePlan {
    pub(super) config: Config,
    pub(super) functions: Vec<(String, Func)>,
    pub(super) functions_allowed: bool,
    pub(super) failure_hook: Option<FailureHook>,
    pub(super) strategy: Option<OwnStrategy>,
    pub(super) shim: Option<ShimProgram>,
    pub(super) bootstrap_without: Vec<u16>,
    pub(super) bench: Option<Starts>,
    pub(super) open_files: Option<u64>,
}

impl Node {
    /// A node to be built. Without further settings it is a cluster of one that keeps its data in
    /// `data`, listens for peers on 127.0.0.1:7070, and serves no HTTP.
    pub fn builder() -> NodeBuilder {
        NodeBuilder {
            base: SettingsBase::Defaults,
            code: CodeSettings::default(),
            id: 1,
            peers: Vec::new(),
            plan: PlanParts::default(),
        }
    }
}

impl NodeBuilder {
    /// Begins with the settings of a file, given as its text. Unlike the defaults of a builder, those
    /// of a file serve HTTP on 127.0.0.1:8080.
    pub fn from_toml(mut self, text: impl Into<String>) -> Self {
        self.base = SettingsBase::Toml(text.into());
        self
    }

    /// Begins with the settings of a file and of the environment (`PUNCTUAL__PEER__LISTEN`), as the
    /// binary does.
    pub fn from_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.base = SettingsBase::File(path.into());
        self
    }

    /// All settings, for a program that loads them itself ([`Config::load`]), perhaps with flags of
    /// its own. Methods that set others beside it are refused at the start.
    pub fn config(mut self, config: Config) -> Self {
        self.base = SettingsBase::Loaded(Box::new(config));
        self
    }

    /// The settings of the binary, which has no functions but those of this builder.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn loaded(mut self, config: Config) -> Self {
        self.plan.binary = true;
        self.config(config)
    }

    /// Which member of the cluster this node is, from 1 (`node.id`).
    pub fn id(mut self, id: u16) -> Self {
        self.code.whole("id", "node.id", u32::from(id));
        self.id = id;
        self
    }

    /// The name of the cluster (`cluster.name`). Only nodes of one name talk to each other.
    pub fn cluster(mut self, name: impl Into<String>) -> Self {
        self.code.text("cluster", "cluster.name", name);
        self
    }

    /// Who forms the cluster at its first start, this node included (`cluster.member`): id and peer
    /// address, and perhaps the URL of the API. The same list on every node. Unless
    /// [`NodeBuilder::peer_listen`] says otherwise, this node listens on its own address.
    pub fn peers<P: Into<MemberSettings>>(mut self, peers: impl IntoIterator<Item = P>) -> Self {
        self.peers = peers.into_iter().map(Into::into).collect();
        self.code.members("peers", &self.peers);
        self
    }

    /// Proved between peers, at least 16 bytes (`cluster.secret`). Needed unless all of them are on
    /// loopback.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.code.text("secret", "cluster.secret", secret);
        self
    }

    /// The IANA zone of schedules that name none (`cluster.timezone`); counts at the first start.
    pub fn timezone(mut self, zone: impl Into<String>) -> Self {
        self.code.text("timezone", "cluster.timezone", zone);
        self
    }

    /// The folder of all that the node keeps (`node.data_dir`). Each node has its own.
    pub fn data_dir(mut self, path: impl Into<PathBuf>) -> Self {
        let path = path.into().to_string_lossy().into_owned();
        self.code.text("data_dir", "node.data_dir", path);
        self
    }

    /// Where peers reach this node (`peer.listen`).
    pub fn peer_listen(mut self, addr: SocketAddr) -> Self {
        self.code.text("peer_listen", "peer.listen", addr.to_string());
        self
    }

    /// Serves the HTTP API on this address (`http.listen`); port 0 takes a free one, see
    /// [`Node::http`].
    pub fn http(mut self, addr: SocketAddr) -> Self {
        self.code.flag("http", "http.enabled", true);
        self.code.text("http", "http.listen", addr.to_string());
        self
    }

    /// Serves no HTTP (`http.enabled`).
    pub fn no_http(mut self) -> Self {
        self.code.flag("no_http", "http.enabled", false);
        self
    }

    /// A label for the selectors of tasks (`node.labels`).
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.code.label("label", key.into(), value.into());
        self
    }

    /// The node's share of the tasks, beside the weights of the others (`node.weight`, 1). A node of
    /// weight 0 owns none.
    pub fn weight(mut self, weight: u32) -> Self {
        self.code.whole("weight", "node.weight", weight);
        self
    }

    /// How many executions run here at once (`node.slots`); 0: no limit. See
    /// [`Node::set_max_running`] to change it later.
    pub fn max_running(mut self, executions: u32) -> Self {
        self.code.whole("max_running", "node.slots", executions);
        self
    }

    /// Makes a function known under a name: tasks call it with the action `func`, or by their own
    /// name if they have no action. Only nodes with the function of a task own and execute it.
    /// [`Node::register`] does the same for a node that runs.
    pub fn function<F, R>(mut self, name: impl Into<String>, function: F) -> Self
    where
        F: Fn(FuncContext) -> R + Send + Sync + 'static,
        R: Future<Output = FuncResult> + Send + 'static,
    {
        self.plan.functions.push((name.into(), handler(function)));
        self
    }

    /// The function of all tasks without a function of their own: the name `*`.
    pub fn default_function<F, R>(self, function: F) -> Self
    where
        F: Fn(FuncContext) -> R + Send + Sync + 'static,
        R: Future<Output = FuncResult> + Send + 'static,
    {
        self.function("*", function)
    }

    /// A function that gives its output as text.
    #[cfg(any(feature = "cli", test))]
    pub(crate) fn func(mut self, name: impl Into<String>, func: Func) -> Self {
        self.plan.functions.push((name.into(), func));
        self
    }

    /// Is called for each attempt that this node carries out and that fails or takes too long. It
    /// runs on a thread of the runtime, so it must not block.
    pub fn on_error(mut self, hook: impl Fn(&FailedAttempt) + Send + Sync + 'static) -> Self {
        self.plan.failure_hook = Some(Arc::new(hook));
        self
    }

    /// The program's own strategy of giving tasks to nodes. Tasks follow it if they name the strategy
    /// `custom`, or the cluster does ([`Node::set_strategy`] with [`Strategy::Custom`]). Give it to
    /// every node, since each of them may lead.
    ///
    /// [`Strategy::Custom`]: crate::Strategy::Custom
    pub fn strategy(mut self, strategy: impl AssignmentStrategy) -> Self {
        self.plan.strategy = Some(OwnStrategy(Arc::new(strategy)));
        self
    }

    /// How tasks are given to nodes from the first start of the cluster on, but for those that name a
    /// strategy themselves (`scheduler.strategy`, consistent). Give it to every node. A cluster that
    /// began before keeps its own; [`Node::set_strategy`] changes that. [`Strategy::Custom`] needs
    /// [`NodeBuilder::strategy`].
    ///
    /// [`Strategy::Custom`]: crate::Strategy::Custom
    pub fn initial_strategy(mut self, strategy: Strategy) -> Self {
        self.code.text("initial_strategy", "scheduler.strategy", strategy_word(strategy));
        self
    }

    /// Whether this node carries out shell actions (`actions.shell.enabled`, false). They need the
    /// program of [`NodeBuilder::shim`].
    pub fn shell(mut self, on: bool) -> Self {
        self.code.flag("shell", "actions.shell.enabled", on);
        self
    }

    /// The program between the node and the processes of shell actions, which ends them when the
    /// node is gone. It calls [`serve_shim`](crate::serve_shim). It is started for the first shell
    /// action only.
    pub fn shim(mut self, program: ShimProgram) -> Self {
        self.plan.shim = Some(program);
        self
    }

    /// Forms a new cluster without these members, which cannot be reached. What a running cluster
    /// of them has acknowledged is lost.
    pub fn bootstrap_without(mut self, members: Vec<u16>) -> Self {
        self.plan.bootstrap_without = members;
        self
    }

    /// The soft limit of open files that the processes of shell actions get; `None`: that of this
    /// process. A program that raises its own gives here what it was before.
    pub const fn open_files(mut self, limit: Option<u64>) -> Self {
        self.plan.open_files = limit;
        self
    }

    /// Opens the routes that measure; never in production.
    #[cfg(feature = "cli")]
    pub(crate) fn bench(mut self) -> Self {
        self.plan.bench = Some(Starts::default());
        self
    }

    /// Takes the data folder and the addresses, and begins to form or find the cluster. It returns
    /// while that goes on: [`Node::ready`] waits for it, so that several nodes of one program can be
    /// started one after the other.
    ///
    /// # Errors
    /// `invalid_settings`; `node_failed`: a folder, file or address that cannot be used.
    pub async fn start(self) -> Result<Node, Error> {
        let plan = self.plan()?;
        Ok(Node::build(plan).await?)
    }

    fn plan(self) -> Result<NodePlan, Error> {
        let functions_allowed = !self.plan.binary || !self.plan.functions.is_empty();
        let names = self.plan.functions.iter().map(|(name, _)| name.as_str());
        super::functions::check_names(names)?;
        let parts = self.plan;
        let config = config(self.base, self.code, self.id, &self.peers)?;
        if config.actions.shell_enabled && parts.shim.is_none() {
            let why = "needs the program of NodeBuilder::shim, which starts the processes";
            return Err(config.refuse("actions.shell.enabled", why).into());
        }
        if config.scheduler.strategy == Strategy::Custom && parts.strategy.is_none() {
            let why = "custom is the strategy of NodeBuilder::strategy, and there is none";
            return Err(config.refuse("scheduler.strategy", why).into());
        }
        Ok(NodePlan {
            config,
            functions: parts.functions,
            functions_allowed,
            failure_hook: parts.failure_hook,
            strategy: parts.strategy,
            shim: parts.shim,
            bootstrap_without: parts.bootstrap_without,
            bench: parts.bench,
            open_files: parts.open_files,
        })
    }
}

/// The settings of a program over those that it begins with.
fn config(
    base: SettingsBase,
    mut code: CodeSettings,
    id: u16,
    peers: &[MemberSettings],
) -> Result<Config, Error> {
    let own = peers.iter().find(|peer| peer.id == id);
    let own = own.filter(|own| own.peer.parse::<SocketAddr>().is_ok());
    if let Some(own) = own.filter(|_| !code.has("peer.listen")) {
        code.text("peers", "peer.listen", own.peer.clone());
    }
    let loaded: Result<Config, ConfigErrors> = match base {
        SettingsBase::Defaults => {
            if !code.has("http.enabled") {
                code.flag("no_http", "http.enabled", false);
            }
            Config::from_toml("", code)
        }
        SettingsBase::Toml(text) => Config::from_toml(&text, code),
        SettingsBase::File(path) => {
            Config::load_with(&Sources::of_process(Some(path), Vec::new()), code)
        }
        SettingsBase::Loaded(config) => match code.first_key() {
            None => Ok(*config),
            Some(key) => Err(config.refuse(key, "is among the settings of NodeBuilder::config")),
        },
    };
    Ok(loaded?)
}
