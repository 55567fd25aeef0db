//! The steps of a story about the files of nodes.

use super::super::super::command::{Declare, DeclaredObject, FilesRead, FilesStep};
use super::*;

impl MachineStory {
    /// `files n1 begin 7`: what a node tells of its files.
    pub(super) fn files(&self, line: &ScriptLine) -> Command {
        let (node, session) = (Self::node_id(line.word(1)), self.session(line));
        let session = match line.option("session") {
            Some(_) => session,
            None => *self.sessions.get(line.word(1)).expect("a node that was up"),
        };
        let number = || line.words.get(3).map_or(0, |text| text.parse().expect("a number"));
        let step = match line.word(2) {
            "none" => FilesStep::None,
            "tell" => FilesStep::Tell(number()),
            "begin" => FilesStep::Begin(number()),
            "complete" => FilesStep::Complete(number()),
            "broken" => FilesStep::Broken(u32::try_from(number()).expect("few")),
            other => panic!("no step {other}"),
        };
        Command::FilesRead(FilesRead { node, session, step })
    }

    /// `declare a every 5s hash=7 set=4`, or `declare a gone set=4`.
    pub(super) fn declared(&self, line: &ScriptLine) -> Command {
        let in_force = || self.world.state.files_in_force().map_or(Revision(0), |kept| kept.set);
        let set = line.revision("set").unwrap_or_else(in_force);
        let hash = line.option("hash").map_or(0, |text| text.parse().expect("a number"));
        let object = match line.word(2) {
            "gone" => DeclaredObject::TaskGone(line.word(1).to_owned()),
            _ => DeclaredObject::Task { spec: self.spec(line), hash },
        };
        let if_match = line.revision("if_match");
        Command::Declare(Box::new(Declare { set, object, if_match }))
    }

    /// What is known of files: of each node, and of each task that came from one.
    pub(super) fn sources(&self) -> Vec<String> {
        let state = &self.world.state;
        let in_force = state.files_in_force();
        let nobody = in_force.filter(|set| state.files().all(|(_, kept)| kept.set != set.set));
        let nobody =
            nobody.map(|set| format!("hash {}, set {}: no node has it", set.hash, set.set.0));
        let nodes = state.files().map(|(node, kept)| {
            let name = &state.node(node).expect("a member").info.name;
            let set = match (Some(kept.set) == in_force.map(|set| set.set), kept.complete) {
                (true, true) => "in force",
                (true, false) => "in force, incomplete",
                (false, _) => "another set is in force",
            };
            let broken = match kept.problems {
                0 => String::new(),
                problems => format!(", {problems} problems"),
            };
            format!("{name}: hash {}, set {}, {set}{broken}", kept.hash, kept.set.0)
        });
        let tasks = state.static_tasks().map(|(task, source)| {
            let own = task.live.definition == Some(source.definition);
            let how = if own { "as declared" } else { "changed since" };
            format!("{}: hash {}, {how}", task.live.name, source.hash)
        });
        nobody.into_iter().chain(nodes).chain(tasks).collect()
    }
}
