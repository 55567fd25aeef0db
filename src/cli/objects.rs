//! Selects nodes, executors and calendars, by names, patterns and labels.

use clap::Args;

use super::choose::{Chosen, no_match};
use super::context::CliContext;
use super::exit::Failure;
use super::fetch::{self, ListReply, ReplyKind};
use super::task::pair;
use crate::client::path;
use crate::dto::{CalendarView, ExecutorView, NodeView};
use crate::ops::lists::{glob, is_glob};

/// Objects that commands name.
pub trait NamedObject: ReplyKind {
    /// The noun, such as `node`.
    const NOUN: &'static str;
    /// Its plural, which is also the collection in paths.
    const NOUNS: &'static str;

    /// The name that patterns match.
    fn key(&self) -> &str;

    /// Whether the object has this name, or another one that the API takes.
    fn called(&self, name: &str) -> bool {
        self.key() == name
    }

    /// Whether the object has this label.
    fn labelled(&self, _key: &str, _value: &str) -> bool {
        false
    }
}

impl NamedObject for NodeView {
    const NOUN: &'static str = "node";
    const NOUNS: &'static str = "nodes";

    fn key(&self) -> &str {
        &self.name
    }

    fn called(&self, name: &str) -> bool {
        self.name == name || self.id == name
    }

    fn labelled(&self, key: &str, value: &str) -> bool {
        let automatic = || self.automatic_labels.get(key);
        self.labels.get(key).or_else(automatic).is_some_and(|own| own == value)
    }
}

impl NamedObject for ExecutorView {
    const NOUN: &'static str = "executor";
    const NOUNS: &'static str = "executors";

    fn key(&self) -> &str {
        &self.head.id
    }
}

impl NamedObject for CalendarView {
    const NOUN: &'static str = "calendar";
    const NOUNS: &'static str = "calendars";

    fn key(&self) -> &str {
        &self.body.name
    }
}

/// Names and patterns of objects.
#[derive(Debug, Args)]
pub struct ObjectsArgs {
    /// Their names; * and ? match any characters, and must be quoted
    #[arg(id = "objects", value_name = "NAME", required = true)]
    names: Vec<String>,
}

/// Names, patterns and labels of nodes.
#[derive(Debug, Args)]
#[command(mut_arg("objects", |names| names.required(false).required_unless_present("node_labels")
    .value_name("NODE")
    .help("Their names or ids; * and ? match any characters of a name, and must be quoted")))]
pub struct NodesArgs {
    #[command(flatten)]
    objects: ObjectsArgs,
    /// Select nodes with this label; without names, from all nodes
    #[arg(id = "node_labels", long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

/// Which objects a list shows.
#[derive(Debug, Args)]
pub struct ListedArgs {
    /// Only these; * and ? match any characters, and must be quoted
    #[arg(id = "listed", value_name = "NAME")]
    names: Vec<String>,
}

/// Which nodes a list shows.
#[derive(Debug, Args)]
pub struct ListedNodesArgs {
    #[command(flatten)]
    listed: ListedArgs,
    /// Only nodes with this label
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
}

/// Which objects are meant. Both lists may be empty: then that rule holds for all.
struct ObjectRule<'a> {
    names: &'a [String],
    labels: &'a [(String, String)],
}

impl ObjectRule<'_> {
    fn fits<T: NamedObject>(&self, object: &T) -> bool {
        let called = |name: &String| object.called(name) || glob(name, object.key());
        (self.names.is_empty() || self.names.iter().any(called))
            && self.labels.iter().all(|(key, value)| object.labelled(key, value))
    }

    /// The selected objects, in the order of the names. Names without labels are taken as given.
    async fn choose<T: NamedObject>(&self, context: &mut CliContext) -> Result<Chosen, Failure> {
        let given = |name: &&String| self.labels.is_empty() && !is_glob(name);
        if let [one] = self.names
            && given(&one)
        {
            return Ok(Chosen::One(one.clone()));
        }
        let mut known: Option<ListReply<T>> = None;
        let mut chosen = Vec::new();
        let whole = [self.names];
        let each: Vec<&[String]> = match self.names {
            [] => whole.to_vec(),
            names => names.chunks(1).collect(),
        };
        for names in each {
            if let [name] = names
                && given(&name)
            {
                chosen.push(name.clone());
                continue;
            }
            let list = match known.take() {
                Some(list) => list,
                None => fetch::all(context, &path([T::NOUNS]), &[]).await?,
            };
            let rule = ObjectRule { names, labels: self.labels };
            let found = list.says.iter().filter(|object| rule.fits(*object));
            let before = chosen.len();
            chosen.extend(found.map(|object| object.key().to_owned()));
            if chosen.len() == before {
                let pattern = names.first().map(String::as_str);
                let lists = format!("{} list", T::NOUN);
                return Err(no_match(T::NOUN, pattern, self.labels, &lists));
            }
            known = Some(list);
        }
        Ok(Chosen::many(chosen))
    }
}

impl ObjectsArgs {
    /// The selected objects.
    ///
    /// # Errors
    /// A pattern that matches nothing, or a failed request.
    pub async fn choose<T: NamedObject>(
        &self,
        context: &mut CliContext,
    ) -> Result<Chosen, Failure> {
        ObjectRule { names: &self.names, labels: &[] }.choose::<T>(context).await
    }
}

impl NodesArgs {
    /// The selected nodes.
    ///
    /// # Errors
    /// A pattern or label that matches nothing, or a failed request.
    pub async fn choose(&self, context: &mut CliContext) -> Result<Chosen, Failure> {
        let rule = ObjectRule { names: &self.objects.names, labels: &self.labels };
        rule.choose::<NodeView>(context).await
    }
}

impl ListedArgs {
    /// The list of the selected objects.
    ///
    /// # Errors
    /// A failed request.
    pub async fn read<T: NamedObject>(
        &self,
        context: &mut CliContext,
    ) -> Result<ListReply<T>, Failure> {
        read(&ObjectRule { names: &self.names, labels: &[] }, context).await
    }
}

impl ListedNodesArgs {
    /// The list of the selected nodes.
    ///
    /// # Errors
    /// A failed request.
    pub async fn read(&self, context: &mut CliContext) -> Result<ListReply<NodeView>, Failure> {
        read(&ObjectRule { names: &self.listed.names, labels: &self.labels }, context).await
    }
}

async fn read<T: NamedObject>(
    rule: &ObjectRule<'_>,
    context: &mut CliContext,
) -> Result<ListReply<T>, Failure> {
    let mut list = fetch::all::<T>(context, &path([T::NOUNS]), &[]).await?;
    list.retain(|object| rule.fits(object));
    Ok(list)
}
