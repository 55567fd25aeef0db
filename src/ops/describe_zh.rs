//! Describes a schedule in Chinese, from the largest unit to the smallest.

use super::describe::{either_day, fields, times_of_day, told};
use crate::domain::schedule::{Rule, Schedule, parse_weekday, weekday_name};
use crate::domain::time::Millis;

/// The description of a schedule: a sentence without a full stop.
pub(crate) fn describe_zh(schedule: &Schedule, default_zone: &str) -> String {
    let mut out = match &schedule.rule {
        Rule::Cron(text) => cron(text),
        Rule::Interval { every, anchor: None } => format!("每 {}", duration(*every)),
        Rule::Interval { every, anchor: Some(anchor) } => {
            format!("从 {anchor} 起每 {}", duration(*every))
        }
        Rule::Daily(times) => format!("每天 {}", enumerate(times)),
        Rule::Weekly { days, at } => {
            let days = days.iter().filter_map(|day| weekday_name(*day)).map(weekday);
            format!("每{} {at}", enumerate(&days.collect::<Vec<_>>()))
        }
        Rule::Monthly { days, at } => {
            let days: Vec<String> = days.iter().map(|day| month_day(*day)).collect();
            format!("每月{} {at}", enumerate(&days))
        }
        Rule::At(at) => format!("仅一次：{at}"),
        Rule::Delay(delay) => format!("仅一次：设定后 {}", duration(*delay)),
        Rule::Immediate => "仅一次：创建时立即".to_owned(),
        Rule::Manual => "仅由手动触发或调用方认领".to_owned(),
    };
    if let Some(zone) = schedule.local_zone(default_zone) {
        out.push_str(&format!("（{zone} 时间）"));
    }
    if let Some(jitter) = schedule.jitter {
        out.push_str(&format!("，最多推迟 {}", duration(jitter)));
    }
    if let Some(from) = schedule.not_before {
        out.push_str(&format!("，不早于 {from}"));
    }
    if let Some(until) = schedule.not_after {
        out.push_str(&format!("，不晚于 {until}"));
    }
    if let Some(max) = schedule.max_ticks {
        out.push_str(&format!("，最多 {max} 次"));
    }
    if !schedule.exclude.is_empty() {
        out.push_str(&format!("，除去日历 {}", enumerate(&schedule.exclude)));
    }
    out
}

/// Formats `1h30m` as `1 小时 30 分钟`.
fn duration(length: Millis) -> String {
    const UNITS: [(&str, &str); 5] =
        [("ms", "毫秒"), ("d", "天"), ("h", "小时"), ("m", "分钟"), ("s", "秒")];
    let text = length.to_string();
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(|c: char| !c.is_ascii_digit()) {
        let (number, tail) = rest.split_at(at);
        let found = UNITS.iter().find(|(unit, _)| tail.starts_with(unit));
        let Some((unit, word)) = found else { return text };
        parts.push(format!("{number} {word}"));
        rest = tail.strip_prefix(unit).unwrap_or_default();
    }
    parts.join(" ")
}

fn cron(text: &str) -> String {
    let written = fields(text);
    let [second, minute, hour, day, month, weekdays, year] = told(written);
    let wild = |field: &str| matches!(field, "*" | "?");
    let mut out = String::new();
    if !wild(year) {
        out.push_str(&format!("{} 年 ", list(year, str::to_owned)));
    }
    if !wild(month) {
        out.push_str(&format!("{} 月", list(month, month_number)));
    }
    let of = if wild(month) { "每月" } else { "" };
    let time = time(second, minute, hour);
    let at_times = time.contains(':');
    let on_days = || days(of, day);
    let on_weekdays = || enumerate(&weekdays.split(',').map(weekday_item).collect::<Vec<_>>());
    match (wild(day), wild(weekdays)) {
        (true, true) if at_times => out.push_str("每天"),
        (true, true) => {}
        (false, true) => out.push_str(&on_days()),
        (true, false) => out.push_str(&format!("每{}", on_weekdays())),
        (false, false) => {
            let joint = if either_day(written) { "或" } else { "且为" };
            out.push_str(&format!("{}{joint}{}", on_days(), on_weekdays()));
        }
    }
    if out.is_empty() { time } else { format!("{} {time}", out.trim_end()) }
}

/// Hour, minute and second, as times of day if possible, otherwise field by field.
fn time(second: &str, minute: &str, hour: &str) -> String {
    if let Some(times) = times_of_day(second, minute, hour) {
        return enumerate(&times);
    }
    let mut parts = Vec::new();
    if hour != "*" {
        parts.push(unit("小时", "点", hour));
    }
    if minute != "*" || second == "0" {
        parts.push(unit("分钟", "分", minute));
    }
    if second != "0" {
        parts.push(unit("秒", "秒", second));
    }
    parts.join("的")
}

/// Formats `每 5 分钟` or `第 0、30 分`.
fn unit(length: &str, point: &str, field: &str) -> String {
    if field == "*" {
        return format!("每{length}");
    }
    if let Some(step) = field.strip_prefix("*/").filter(|step| step.parse::<u32>().is_ok()) {
        return format!("每 {step} {length}");
    }
    format!("第 {} {point}", list(field, str::to_owned))
}

/// The day field. `of` is the prefix of day numbers.
fn days(of: &str, field: &str) -> String {
    if let Some(step) = field.strip_prefix("*/").filter(|step| step.parse::<u32>().is_ok()) {
        return format!("{of}从 1 日起每 {step} 天");
    }
    let item = |item: &str| {
        if let Some(before) = item.strip_prefix("L-").and_then(|n| n.parse::<u32>().ok()) {
            return format!("倒数第 {} 天", before + 1);
        }
        match (item, item.strip_suffix('W')) {
            ("L", _) => "最后一天".to_owned(),
            ("LW", _) => "最后一个工作日".to_owned(),
            (_, Some(day)) => format!("最接近 {day} 日的工作日"),
            _ => format!(" {} 日", list(item, str::to_owned)),
        }
    };
    let items: Vec<String> = field.split(',').map(item).collect();
    format!("{of}{}", enumerate(&items))
}

fn weekday_item(item: &str) -> String {
    let upper = item.to_ascii_uppercase();
    if let Some((day, nth)) = upper.split_once('#') {
        return format!("月第 {nth} 个{}", weekday(day));
    }
    if let Some(day) = upper.strip_suffix('L').filter(|day| !day.is_empty()) {
        return format!("月最后一个{}", weekday(day));
    }
    list(&upper, weekday)
}

/// The items of a field. `name` formats each value.
fn list(field: &str, name: impl Fn(&str) -> String) -> String {
    let item = |item: &str| {
        let (range, step) = item.split_once('/').unwrap_or((item, ""));
        let step = if step.is_empty() { String::new() } else { format!("（间隔 {step}）") };
        match range.split_once('-') {
            Some((from, to)) if !from.contains('(') && from != "L" => {
                format!("{}至{}{step}", name(from), name(to))
            }
            _ => format!("{}{step}", name(range)),
        }
    };
    enumerate(&field.split(',').map(item).collect::<Vec<_>>())
}

fn weekday(text: &str) -> String {
    const DAYS: [&str; 7] = ["周日", "周一", "周二", "周三", "周四", "周五", "周六"];
    let number = text.parse::<usize>().ok().map(|number| number % 7);
    let number = number.or_else(|| parse_weekday(text).ok().map(usize::from));
    number.and_then(|number| DAYS.get(number)).map_or_else(|| text.to_owned(), |day| (*day).into())
}

fn month_number(text: &str) -> String {
    const MONTHS: [&str; 12] =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let upper = text.to_ascii_uppercase();
    let number = MONTHS.iter().position(|month| *month == upper);
    number.map_or_else(|| text.to_owned(), |number| (number + 1).to_string())
}

fn month_day(day: i8) -> String {
    match day {
        -1 => "最后一天".to_owned(),
        ..0 => format!("倒数第 {} 天", -i16::from(day)),
        _ => format!(" {day} 日"),
    }
}

/// Joins items: `甲、乙、丙`.
fn enumerate(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("、")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::{LocalTime, parse_cron};

    #[test]
    fn crontabs_read_as_sentences() {
        for (text, words) in [
            ("*/5 * * * *", "每 5 分钟"),
            ("0 2 * * *", "每天 02:00"),
            ("30 9,14 * * MON-FRI", "每周一至周五 09:30、14:30"),
            ("*/10 * * * * *", "每 10 秒"),
            ("0 9-17 * * *", "第 9至17 点的第 0 分"),
            ("0 0 1 1 *", "1 月 1 日 00:00"),
            ("0 0 13 * FRI", "每月 13 日或周五 00:00"),
            ("0 0 L * *", "每月最后一天 00:00"),
            ("0 0 L-3 * *", "每月倒数第 4 天 00:00"),
            ("0 9 15W * *", "每月最接近 15 日的工作日 09:00"),
            ("0 0 * * FRI#2", "每月第 2 个周五 00:00"),
            ("0 0 * * 6L", "每月最后一个周六 00:00"),
            ("0 0 */2 * MON", "每月从 1 日起每 2 天且为周一 00:00"),
            ("* * * * *", "每分钟"),
            ("* * * * * *", "每秒"),
            ("0 0 8 * * SUN,7 2030", "2030 年 每周日、周日 08:00"),
        ] {
            let (rule, _zone) = parse_cron(text).unwrap();
            let words = format!("{words}（UTC 时间）");
            assert_eq!(describe_zh(&Schedule::of(rule), "UTC"), words, "{text}");
        }
    }

    #[test]
    fn the_other_kinds_do_too() {
        let times = vec![LocalTime(7_200), LocalTime(50_400)];
        for (rule, words) in [
            (Rule::Interval { every: Millis(5_400_000), anchor: None }, "每 1 小时 30 分钟"),
            (Rule::Interval { every: Millis(300), anchor: None }, "每 300 毫秒"),
            (Rule::Daily(times), "每天 02:00、14:00（UTC 时间）"),
            (Rule::Weekly { days: vec![1, 5], at: LocalTime(0) }, "每周一、周五 00:00（UTC 时间）"),
            (
                Rule::Monthly { days: vec![-2, -1, 1], at: LocalTime(0) },
                "每月倒数第 2 天、最后一天、 1 日 00:00（UTC 时间）",
            ),
            (Rule::Delay(Millis(600_000)), "仅一次：设定后 10 分钟"),
            (Rule::Immediate, "仅一次：创建时立即"),
            (Rule::Manual, "仅由手动触发或调用方认领"),
        ] {
            assert_eq!(describe_zh(&Schedule::of(rule), "UTC"), words);
        }
        let mut schedule = Schedule::of(Rule::Interval { every: Millis(1_000), anchor: None });
        schedule.exclude = vec!["节假日".to_owned()];
        schedule.max_ticks = Some(3);
        assert_eq!(describe_zh(&schedule, "UTC"), "每 1 秒，最多 3 次，除去日历 节假日");
    }
}
