//! What a clock change does to a tick, in Chinese. The English text is the `Display` of [`Note`].

use crate::domain::schedule::{ClockChange, Fold, Note, Pass, Shown};

/// A note in Chinese.
pub(crate) fn note_zh(note: &Note) -> String {
    match note {
        Note::Shifted { local, jump } => format!(
            "{} 不存在（{}）；dst.gap = shift：取空隙之后的第一个时刻",
            Shown(*local),
            change(jump)
        ),
        Note::LeftOut { local, jump, elapsed: false } => format!(
            "此前的 {} 被跳过：该时间不存在（{}）；dst.gap = skip",
            Shown(*local),
            change(jump)
        ),
        Note::LeftOut { local, jump, elapsed: true } => format!(
            "此前的 {} 不存在（{}）；该调度按经过的时间计算，不补充触发",
            Shown(*local),
            change(jump)
        ),
        Note::Repeated { local, jump, pass, fold } => {
            let pass = match pass {
                Pass::First => "第一次",
                Pass::Second => "第二次",
            };
            let policy = match fold {
                Some(Fold::First) => "dst.fold = first",
                Some(Fold::Second) => "dst.fold = second",
                Some(Fold::Both) => "dst.fold = both",
                None => "该调度按经过的时间计算，两次均触发",
            };
            format!("{} 的{pass}，该时间出现两次（{}）；{policy}", Shown(*local), change(jump))
        }
    }
}

fn change(jump: &ClockChange) -> String {
    format!("时钟从 {} 调到 {}", Shown(jump.from), Shown(jump.to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::{Plan, Rule, Schedule};
    use crate::domain::time::Timestamp;

    #[test]
    fn both_clock_changes_of_a_year_are_told() {
        let mut schedule = Schedule::of(Rule::Cron("30 2 * * *".to_owned()));
        schedule.timezone = Some("Europe/Berlin".to_owned());
        let at = |text: &str| Timestamp::parse(text).unwrap();
        let plan = Plan::excluding(&schedule, "t", "UTC", at("2027-01-01T00:00:00Z"), []).unwrap();
        let note = |after: &str| note_zh(&plan.next_noted(at(after)).unwrap().note.unwrap());
        assert_eq!(
            note("2027-03-27T12:00:00Z"),
            "2027-03-28 02:30 不存在（时钟从 2027-03-28 02:00 调到 2027-03-28 03:00）；\
             dst.gap = shift：取空隙之后的第一个时刻"
        );
        assert_eq!(
            note("2027-10-30T12:00:00Z"),
            "2027-10-31 02:30 的第一次，该时间出现两次（时钟从 2027-10-31 03:00 调到 2027-10-31 02:00）；\
             dst.fold = first"
        );
    }
}
