//! Warnings about definitions. In English they are told as the operations tell them, in Chinese by
//! their code.

use super::text::Language;
use super::visit::Visit;
use crate::domain::warning_code::WarningCode;
use crate::dto::WarningView;

/// A warning in the language of the visit.
pub(super) fn told<'a>(visit: &Visit, warning: &'a WarningView) -> &'a str {
    let zh = CHINESE.iter().find(|(code, _)| code.name() == warning.code).map(|(_, zh)| *zh);
    match (visit.lang, zh) {
        (Language::Zh, Some(zh)) => zh,
        _ => &warning.detail,
    }
}

const CHINESE: [(WarningCode, &str); WarningCode::NAMES.len()] = [
    (WarningCode::BothDayFields, "cron 表达式同时限定了日期和星期：满足任意一个就会触发。"),
    (WarningCode::ChainedTaskMissing, "then 中有不存在的任务。"),
    (WarningCode::Completed, "修改之后任务不再有触发时间。"),
    (WarningCode::Crowded, "集群中有许多任务在同一时间触发：可以改用非整点、jitter 或 H 错开。"),
    (WarningCode::GroupLimitsDiffer, "同一并发组中的任务设置了不同的上限，各自按自己的上限执行。"),
    (WarningCode::NoEligibleNode, "目前没有节点可以承接该任务，其触发将等待。"),
    (WarningCode::NoExecutor, "目前没有可用的执行器：执行将等待，之后以 no_executor 失败。"),
    (WarningCode::NoHandler, "没有节点或执行器能执行该任务。"),
    (WarningCode::ParametersShareVariable, "有多个参数对应同一个环境变量。"),
    (WarningCode::ShortMonths, "没有该日期的月份不会触发。"),
    (WarningCode::StepBeyondField, "cron 字段的步长使其只有一个取值。"),
    (WarningCode::SubSecond, "间隔小于一秒。"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_warning_has_its_chinese_text_once() {
        let mut codes: Vec<&str> = CHINESE.iter().map(|(code, _)| code.name()).collect();
        codes.sort_unstable();
        let mut all = WarningCode::NAMES.to_vec();
        all.sort_unstable();
        assert_eq!(codes, all);
    }
}
