//! The chains of a task as a graph: the tasks whose ends start it, and those that its ends start.

use std::collections::BTreeMap;

/// Steps from the task in each direction.
const STEPS: i32 = 3;
/// Tasks of a graph.
const TASKS: usize = 60;

/// A task of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphTask {
    /// Its name.
    pub name: String,
    /// Steps from the task of the graph: negative before it, positive after it.
    pub step: i32,
    /// The place among those of the same step, from 0.
    pub row: usize,
}

/// A chain from one task of a graph to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChainEdge {
    /// The index of the task whose end starts the other.
    pub from: usize,
    /// The index of the task that is started.
    pub to: usize,
    /// The ends that do, as the contract names them.
    pub on: Vec<&'static str>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChainGraph {
    /// The tasks. The first one is that of the graph.
    pub tasks: Vec<GraphTask>,
    /// The chains between them.
    pub edges: Vec<ChainEdge>,
    /// Whether there are more tasks than the graph shows.
    pub more: bool,
}

/// The graph of a task. `starts`: what the ends of a task start, each with the end. `started_by`: the
/// tasks whose ends start a task.
pub(crate) fn graph(
    name: &str,
    starts: impl Fn(&str) -> Vec<(&'static str, String)>,
    started_by: impl Fn(&str) -> Vec<String>,
) -> ChainGraph {
    let mut made = ChainGraph::default();
    let mut known = BTreeMap::new();
    made.place(&mut known, name, 0);
    let followers = |task: &str| starts(task).into_iter().map(|(_, name)| name).collect();
    made.walk(&mut known, name, 1, followers);
    made.walk(&mut known, name, -1, started_by);
    let mut edges: BTreeMap<(usize, usize), Vec<&'static str>> = BTreeMap::new();
    for (from, task) in made.tasks.iter().enumerate() {
        for (on, started) in starts(&task.name) {
            if let Some(to) = known.get(&started) {
                let words = edges.entry((from, *to)).or_default();
                if !words.contains(&on) {
                    words.push(on);
                }
            }
        }
    }
    made.edges = edges.into_iter().map(|((from, to), on)| ChainEdge { from, to, on }).collect();
    made
}

impl ChainGraph {
    /// Adds a task that is not there yet. False: it is there, or there is no place.
    fn place(&mut self, known: &mut BTreeMap<String, usize>, name: &str, step: i32) -> bool {
        if known.contains_key(name) {
            return false;
        }
        if self.tasks.len() == TASKS {
            self.more = true;
            return false;
        }
        let row = self.tasks.iter().filter(|task| task.step == step).count();
        known.insert(name.to_owned(), self.tasks.len());
        self.tasks.push(GraphTask { name: name.to_owned(), step, row });
        true
    }

    /// Adds what is up to so many steps away in one direction.
    fn walk(
        &mut self,
        known: &mut BTreeMap<String, usize>,
        name: &str,
        direction: i32,
        next: impl Fn(&str) -> Vec<String>,
    ) {
        let mut last = vec![name.to_owned()];
        for step in 1..=STEPS {
            let mut found = Vec::new();
            for other in last.iter().flat_map(|task| next(task)) {
                if self.place(known, &other, step * direction) {
                    found.push(other);
                }
            }
            last = found;
        }
        let unseen = |other: &String| !known.contains_key(other);
        self.more |= last.iter().flat_map(|task| next(task)).any(|other| unseen(&other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Chain = (&'static str, &'static str, &'static str);

    fn of(name: &str, chains: &[Chain]) -> ChainGraph {
        let starts = |task: &str| {
            let own = chains.iter().filter(|(from, ..)| *from == task);
            own.map(|(_, on, to)| (*on, (*to).to_owned())).collect()
        };
        let started_by = |task: &str| {
            let others = chains.iter().filter(|(.., to)| *to == task);
            others.map(|(from, ..)| (*from).to_owned()).collect()
        };
        graph(name, starts, started_by)
    }

    fn steps(graph: &ChainGraph) -> Vec<(&str, i32)> {
        graph.tasks.iter().map(|task| (&*task.name, task.step)).collect()
    }

    #[test]
    fn a_graph_goes_both_ways_and_joins_edges_between_two_tasks() {
        let chains = [
            ("dump", "success", "upload"),
            ("dump", "failure", "page"),
            ("dump", "timeout", "page"),
            ("prepare", "success", "dump"),
            ("upload", "success", "report"),
        ];
        let made = of("dump", &chains);
        let placed = [("dump", 0), ("upload", 1), ("page", 1), ("report", 2), ("prepare", -1)];
        assert_eq!(steps(&made), placed);
        let page = made.edges.iter().find(|edge| edge.to == 2).unwrap();
        assert_eq!((page.from, &*page.on), (0, &["failure", "timeout"][..]));
        assert_eq!((made.edges.len(), made.more), (4, false));
    }

    #[test]
    fn circles_and_long_chains_end() {
        let circle = [("a", "success", "b"), ("b", "success", "a"), ("a", "failure", "a")];
        let made = of("a", &circle);
        assert_eq!((steps(&made), made.edges.len()), (vec![("a", 0), ("b", 1)], 3));
        let long: Vec<Chain> = ["a", "b", "c", "d", "e"]
            .windows(2)
            .map(|pair| (pair[0], "success", pair[1]))
            .collect();
        let made = of("a", &long);
        assert_eq!((made.tasks.len(), made.more), (4, true));
        assert!(!of("b", &long).more);
    }
}
