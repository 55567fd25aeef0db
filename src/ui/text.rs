//! Every text of the page, in English and Chinese.

/// A language of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    En,
    Zh,
}

/// One text in each language. `{}` stands for a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    en: &'static str,
    zh: &'static str,
}

impl Language {
    pub const ALL: [(Self, &'static str, &'static str); 2] =
        [(Self::En, "en", "English"), (Self::Zh, "zh", "中文")];

    /// The language with this code.
    pub fn of(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, own, _)| *own == code).map(|(lang, ..)| lang)
    }

    /// The code for the `lang` attribute.
    pub fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// The first language of an `Accept-Language` header that the page has.
    pub fn accepted(header: &str) -> Self {
        let mut wanted: Vec<(u16, &str)> = header
            .split(',')
            .map(|one| {
                let (tag, rest) = one.split_once(';').unwrap_or((one, ""));
                let quality = rest.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
                // The order of equal ones stays.
                (
                    (1_000.0 - quality.unwrap_or(0.0_f32).clamp(0.0, 1.0) * 1_000.0) as u16,
                    tag.trim(),
                )
            })
            .collect();
        wanted.sort_by_key(|(rank, _)| *rank);
        let main = |tag: &str| tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        wanted.iter().find_map(|(_, tag)| Self::of(&main(tag))).unwrap_or(Self::En)
    }

    pub const fn say(self, text: Text) -> &'static str {
        match self {
            Self::En => text.en,
            Self::Zh => text.zh,
        }
    }

    /// That of two texts which is in this language.
    pub const fn of_two<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }

    /// A text with its values.
    pub fn fill(self, text: Text, values: &[&str]) -> String {
        let mut parts = self.say(text).split("{}");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for (at, part) in parts.enumerate() {
            filled.push_str(values.get(at).copied().unwrap_or_default());
            filled.push_str(part);
        }
        filled
    }

    /// A word of the contract, such as a status. Words without a translation are the same in all
    /// languages.
    pub fn word(self, word: &str) -> String {
        let zh = WORDS.iter().find(|(own, _)| *own == word).map(|(_, zh)| *zh);
        match (self, zh) {
            (Self::Zh, Some(zh)) => zh.to_owned(),
            _ => word.replace('_', " "),
        }
    }
}

/// The words of the contract in Chinese.
const WORDS: [(&str, &str); 60] = [
    ("active", "已启用"),
    ("paused", "已暂停"),
    ("completed", "已完成"),
    ("failed", "失败"),
    ("cancelled", "已取消"),
    ("deleted", "已删除"),
    ("pending", "等待中"),
    ("running", "执行中"),
    ("success", "成功"),
    ("timeout", "超时"),
    ("lost", "丢失"),
    ("failure", "失败"),
    ("recovered", "恢复"),
    ("fired", "已触发"),
    ("skipped", "跳过"),
    ("missed", "错过"),
    ("coalesced", "合并"),
    ("live", "未结束"),
    ("schedule", "调度"),
    ("catch_up", "补触发"),
    ("manual", "手动"),
    ("retry", "重试"),
    ("claim", "认领"),
    ("chain", "链式"),
    ("backfill", "回填"),
    ("overlap", "重叠"),
    ("queue_full", "队列已满"),
    ("max_live", "未结束执行过多"),
    ("disabled", "已禁用"),
    ("excluded", "被日历排除"),
    ("stopped", "调度器已停止"),
    ("window", "超出补触发窗口"),
    ("max", "超出补触发上限"),
    ("no_majority", "无多数派"),
    ("no_node", "无可用节点"),
    ("edited", "已修改"),
    ("later", "由后一次触发"),
    ("starting", "启动中"),
    ("working", "正常"),
    ("down", "宕机"),
    ("none", "无"),
    ("draining", "排空中"),
    ("leaving", "离开中"),
    ("removing", "移除中"),
    ("leader", "Leader"),
    ("follower", "Follower"),
    ("learner", "Learner"),
    ("online", "在线"),
    ("offline", "离线"),
    ("maintenance", "维护中"),
    ("sequential", "串行"),
    ("parallel", "并行"),
    ("skip", "跳过"),
    ("replace", "替换"),
    ("static", "文件"),
    ("executor", "执行器"),
    ("api", "API"),
    ("shell", "命令"),
    ("http", "HTTP"),
    ("function", "函数"),
];

macro_rules! texts {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        $(pub(in crate::ui) const $name: Text = Text { en: $en, zh: $zh };)*
        #[cfg(test)]
        pub(super) const ALL: &[(&str, Text)] = &[$((stringify!($name), $name),)*];
    };
}

pub(super) mod edit;

texts! {
    // Frame
    OVERVIEW: "Overview", "概览";
    TASKS: "Tasks", "任务";
    EXECUTIONS: "Executions", "执行";
    FAILED: "Failed", "失败";
    NODES: "Nodes", "节点";
    EXECUTORS: "Executors", "执行器";
    WEEK: "Week", "周视图";
    CALENDARS: "Calendars", "日历";
    SKIP_TO_CONTENT: "Skip to content", "跳到内容";
    MAIN_MENU: "Main", "主导航";
    LANGUAGE: "Language", "语言";
    THEME: "Colours", "配色";
    THEME_SYSTEM: "System", "跟随系统";
    THEME_LIGHT: "Light", "浅色";
    THEME_DARK: "Dark", "深色";
    APPLY: "Apply", "应用";
    TIMES_IN: "Times in {}", "时区：{}";
    SHOWN_BY: "Shown by {}, version {}", "由 {} 提供，版本 {}";
    STREAM_LOST: "The connection to the node is lost. The page is not up to date.", "与节点的连接已断开，页面不是最新状态。";
    NO_LEADER: "The cluster has no leader: no tick fires, and this page shows what this node had applied.", "集群没有 Leader：不会触发任何任务，本页显示的是该节点已应用的状态。";
    ERROR: "This did not work", "操作未成功";
    ERROR_CODE: "Code", "错误码";

    // Times
    IN: "in {}", "{} 后";
    AGO: "{} ago", "{} 前";

    // Overview
    ALL_NODES_WORK: "All {} nodes work", "全部 {} 个节点正常";
    ONE_NODE_WORKS: "The node works", "节点正常";
    SOME_NODES_WORK: "{} of {} nodes work", "{}/{} 个节点正常";
    NOTHING_NEEDS_YOU: "no task needs attention", "没有任务需要处理";
    ONE_NEEDS_YOU: "1 task needs attention", "1 个任务需要处理";
    SOME_NEED_YOU: "{} tasks need attention", "{} 个任务需要处理";
    SCHEDULER_STOPPED: "The scheduler is stopped: no tick fires.", "调度器已停止：不会触发任何任务。";
    START_SCHEDULER: "Start the scheduler", "启动调度器";
    STOP_SCHEDULER: "Stop the scheduler", "停止调度器";
    ATTENTION: "Needs attention", "需要处理";
    NOTHING_HERE: "Nothing needs attention.", "没有需要处理的事项。";
    LAST_AND_NEXT_HOUR: "The last and the next hour", "过去和未来一小时";
    NEXT_TICKS: "Next ticks", "即将触发";
    LAST_EXECUTIONS: "Last executions", "最近执行";
    NO_TICKS: "No tick is due.", "没有即将触发的任务。";
    NO_EXECUTIONS: "Nothing has been executed yet.", "尚无执行记录。";
    NO_TASKS_YET: "There are no tasks yet. Add one:", "尚无任务。添加一个：";
    AND_MORE: "and {} more", "以及另外 {} 个";
    PAST_FROM: "Before {} more happened than this chart counts.", "{} 之前的事件过多，未计入此图。";
    CHART_MINUTE_PAST: "{}: {}", "{}：{}";
    CHART_MINUTE_AHEAD: "{}: {} ticks to come", "{}：将触发 {} 次";
    TICKS_TO_COME: "to come", "将触发";
    NOTHING: "nothing", "无";
    CLOSE: "Close", "关闭";
    NOT_FIRED: "Did not fire", "未触发";
    MINUTE_PARTIAL: "More happened since than is looked at. The list is not complete.", "此后的执行过多，列表不完整。";
    LONG_EXECUTIONS: "bars: executions of 10 s or more", "横条：耗时 10 秒及以上的执行";
    MORE_BARS: "{} more executions of 10 s or more have no bar.", "另有 {} 个耗时 10 秒及以上的执行未显示横条。";
    KIND_FAILING: "failing", "失败";
    KIND_LATE: "late", "延迟";
    KIND_NO_OWNER: "no owner", "无负责节点";
    KIND_WAITS: "waits for an executor", "等待执行器";
    KIND_STUCK: "stuck", "卡住";
    KIND_DRIFTED: "drifted", "与文件不一致";
    KIND_NODE: "node", "节点";
    KIND_CLOCK: "clock", "时钟";
    WHY_FAILING: "The last execution ended as {}, {}", "最近一次执行结果为{}，{}";
    WHY_LATE: "The tick of {} has no verdict yet", "{} 的触发尚无结论";
    WHY_WAITS: "Execution {} waits since {}", "执行 {} 自 {} 起等待";
    WHY_STUCK: "Execution {} should be further since {}", "执行 {} 自 {} 起没有进展";
    WHY_DRIFTED: "It was changed after it was read from files", "从文件读取后被修改";
    WHY_NO_OWNER: "No node can own it", "没有可承接该任务的节点";
    WHY_NODE: "It is {}", "状态：{}";
    WHY_CLOCK: "Its clock is {} off", "时钟偏差 {}";

    // Lists
    NAME: "Name", "名称";
    STATE: "State", "状态";
    SCHEDULE: "Schedule", "调度";
    NEXT: "Next tick", "下次触发";
    LAST: "Last execution", "最近执行";
    HISTORY: "Last outcomes", "最近结果";
    OWNER: "Owner", "负责节点";
    SEARCH: "Name or pattern", "名称或通配符";
    SEARCH_HINT: "backup-*", "backup-*";
    FILTER: "Filter", "筛选";
    LABEL: "Label", "标签";
    LABEL_HINT: "team=infra", "team=infra";
    SORT: "Order", "排序";
    BY_NAME: "by name", "按名称";
    BY_NEXT: "by next tick", "按下次触发";
    BY_LAST: "by last execution", "按最近执行";
    ANY: "any", "任意";
    MORE: "Next page", "下一页";
    FIRST: "First page", "第一页";
    NOTHING_MATCHES: "Nothing matches.", "没有匹配项。";
    CLEAR_FILTER: "Clear the filter", "清除筛选";
    SELECTED: "With the selected tasks:", "对所选任务：";
    SELECT_ALL: "Select all of this page", "选择本页全部";
    SELECT: "Select {}", "选择 {}";

    // Actions
    RUN_NOW: "Run now", "立即执行";
    PAUSE: "Pause", "暂停";
    PAUSE_REASON: "Reason", "原因";
    RESUME: "Resume", "恢复";
    CANCEL: "Cancel", "取消";
    DELETE: "Mark deleted", "标记删除";
    REUSE: "Restore", "恢复任务";
    CLEANUP: "Remove everything", "彻底清除";
    STOP: "Stop", "停止";
    RETRY: "Retry", "重试";
    DISMISS: "Dismiss", "忽略";
    DRAIN: "Drain", "排空";
    UNDRAIN: "Take tasks again", "恢复接收任务";
    MAINTENANCE: "Maintenance", "维护";
    ONLINE: "Back online", "恢复在线";
    TRANSFER: "Make leader", "设为 Leader";
    DID_TRIGGER: "Execution {} was created.", "已创建执行 {}。";
    DID_PAUSE: "{} is paused.", "{} 已暂停。";
    DID_RESUME: "{} is resumed.", "{} 已恢复。";
    DID_CANCEL: "{} is cancelled.", "{} 已取消。";
    DID_DELETE: "{} is marked deleted.", "{} 已标记删除。";
    DID_REUSE: "{} is restored.", "{} 已恢复。";
    DID_CLEANUP: "Everything of {} is removed.", "{} 的所有内容已清除。";
    DID_STOP: "Execution {} was asked to stop.", "已请求停止执行 {}。";
    DID_RETRY: "Execution {} repeats it.", "执行 {} 将重试。";
    DID_DISMISS: "Execution {} is dismissed.", "执行 {} 已忽略。";
    DID_DRAIN: "{} gives its tasks away.", "{} 正在移交任务。";
    DID_UNDRAIN: "{} takes tasks again.", "{} 恢复接收任务。";
    DID_MAINTENANCE: "{} gets no more work.", "{} 不再接收任务。";
    DID_ONLINE: "{} gets work again.", "{} 恢复接收任务。";
    DID_TRANSFER: "The leader is {}.", "Leader 为 {}。";
    DID_START: "The scheduler is started.", "调度器已启动。";
    DID_STOP_SCHEDULER: "The scheduler is stopped.", "调度器已停止。";
    DID_MANY: "{} done, {} refused.", "{} 个成功，{} 个被拒绝。";
    ASKED_TO_STOP: "asked to stop", "已请求停止";
    ARE_YOU_SURE: "{}? ({})", "{}？（{}）";

    BACK: "Back", "返回";
    REALLY: "{}: {}?", "{}：{}？";
    REALLY_MANY: "{}: {} tasks?", "{}：{} 个任务？";
    REALLY_EXECUTIONS: "{}: {} executions?", "{}：{} 个执行？";
    ADD_MEMBER: "Add a member", "添加成员";
    ADD_MEMBER_HELP: "Start it first with an empty data folder and its id.", "请先以空数据目录和该 id 启动节点。";
    MEMBER_ID: "Id", "编号";
    PEER_ADDRESS: "Address for peers", "节点间通信地址";
    HTTP_ADDRESS: "Address for HTTP", "HTTP 地址";
    REMOVE_MEMBER: "Remove from the cluster", "移出集群";
    REPLACE_MEMBER: "Readmit with an empty folder", "以空目录重新加入";
    DID_ADD_MEMBER: "{} has joined.", "{} 已加入。";
    DID_REMOVE_MEMBER: "{} is removed.", "{} 已移除。";
    RUNNING: "Running", "执行中";

    // Task
    TICKS: "Ticks", "触发";
    TICKS_HELP: "Each mark is a tick, or a span of ticks that did not fire. Select one to see why.", "每个标记是一次触发，或一段未触发的区间。选择以查看原因。";
    WHY: "Why", "原因";
    ZOOM: "Range", "范围";
    DEFINITION: "Definition", "定义";
    REVISIONS: "Revisions", "历史版本";
    REVISION: "Revision", "版本号";
    STATISTICS: "Statistics", "统计";
    DURATION: "Duration", "耗时";
    LATENESS: "Lateness", "延迟";
    SUCCESS_RATE: "Success", "成功率";
    DAYS: "The last 90 days, by day (UTC)", "最近 90 天（UTC）";
    NEXT_TEN: "Next ticks", "接下来的触发";
    OWNERSHIP: "Ownership", "任务归属";
    CHAIN: "Chain", "任务链";
    CHAIN_GOES_ON: "The chain has more tasks than are shown.", "任务链中还有未显示的任务。";
    ALL_EXECUTIONS: "All executions of this task", "该任务的全部执行";
    ON: "on {}", "{}时";
    PAUSED_WHY: "Paused: {}", "已暂停：{}";
    PAUSED_UNTIL: "until {}", "直到 {}";
    NO_REASON: "no reason given", "未说明原因";
    MODE_SEQUENTIAL: "If an execution has not ended, the next one waits in line.", "若前一次执行未结束，下一次排队等待。";
    MODE_PARALLEL: "Executions run beside one another.", "多个执行并行。";
    MODE_SKIP: "If an execution has not ended, the tick is skipped.", "若前一次执行未结束，本次触发被跳过。";
    MODE_REPLACE: "If an execution has not ended, it is stopped and the new one runs.", "若前一次执行未结束，将其停止并执行新的。";
    TIMEOUT_IS: "An attempt is stopped after {}.", "单次尝试超过 {} 将被停止。";
    NO_TIMEOUT: "An attempt has no time limit.", "单次尝试没有时间限制。";
    RETRY_IS: "A failed attempt is repeated up to {} times.", "失败后最多重试 {} 次。";
    NO_RETRY: "A failed attempt is not repeated.", "失败后不重试。";
    LATE_ALL: "Of ticks that nobody settled in time, all fire that are at most {} old.", "未及时处理的触发中，{} 之内的全部补触发。";
    LATE_LAST: "Of ticks that nobody settled in time, the last one fires if it is at most {} old.", "未及时处理的触发中，若最后一次在 {} 之内则补触发。";
    LATE_NONE: "Ticks that nobody settled in time are missed.", "未及时处理的触发视为错过。";
    TOTALS: "Totals", "累计";
    NOT_YET: "not yet", "尚无";
    KEPT_FROM: "History is kept from {} on.", "历史记录自 {} 起保留。";

    // Execution
    EXECUTION: "Execution", "执行";
    TASK: "Task", "任务";
    STATUS: "Status", "状态";
    TRIGGER: "Trigger", "触发方式";
    TICK: "Tick", "触发时间";
    DUE: "Due", "计划时间";
    CREATED: "Claimed", "已认领";
    STARTED: "Started", "已开始";
    ENDED: "Ended", "已结束";
    PHASES: "Phases", "阶段";
    ATTEMPTS: "Attempts", "尝试";
    ATTEMPT: "Attempt", "尝试";
    FENCE: "Fence", "隔离令牌";
    NODE: "Node", "节点";
    OUTCOME: "Outcome", "结果";
    REASON: "Reason", "原因";
    EXIT_CODE: "Exit code", "退出码";
    HTTP_STATUS: "HTTP status", "HTTP 状态码";
    OUTPUT: "Output", "输出";
    NO_OUTPUT: "It has printed nothing.", "没有输出。";
    WAITING_FOR_OUTPUT: "Nothing has been printed yet.", "尚无输出。";
    FOLLOW: "Follow", "跟随";
    WRAP: "Wrap lines", "自动换行";
    DOWNLOAD: "Download", "下载";
    OUTPUT_CUT: "Only the end of the output is shown.", "仅显示输出的末尾。";
    PARAMETERS: "Parameters", "参数";
    PARENT: "Started by the end of", "上游执行";
    CHILDREN: "Started by its end", "下游执行";
    RETRY_OF: "Repeats", "重试自";
    QUEUE: "Place in line", "队列位置";
    QUEUE_IS: "{} in {}: {} of {} run", "{}（{}）：{}/{} 执行中";
    UNKNOWN_OUTCOME: "It may have had effects that are not known.", "可能产生了未知的影响。";

    // Search in an output, and long lists
    FIND_IN_OUTPUT: "Find in the output", "在输出中查找";
    FIND: "Find", "查找";
    SHOW_END: "Show the end", "显示末尾";
    LINES_FOUND: "Lines with this text: {}.", "包含此文本的行：{}。";
    FIRST_SHOWN: "The first {} are shown.", "仅显示前 {} 行。";
    NOT_ALL_SEARCHED: "The output is too long: only its beginning was searched.", "输出过长，仅查找了开头部分。";
    OUTPUT_OF_ATTEMPT: "Output of attempt {}", "第 {} 次尝试的输出";
    TASKS_SEARCHED: "{} tasks were searched so far. The next page goes on with the search.", "已查找 {} 个任务。下一页将继续查找。";
    EXECUTIONS_SEARCHED: "{} executions were searched so far. The next page goes on with the search.", "已查找 {} 个执行。下一页将继续查找。";

    // Failed
    FAILED_HELP: "Executions that failed, took too long or were lost, and that nobody has dismissed.", "失败、超时或丢失，且未被忽略的执行。";
    NO_FAILED: "No execution waits for a decision.", "没有待处理的失败执行。";
    RETRY_THESE: "Retry these {}", "重试这 {} 个";
    DISMISS_THESE: "Dismiss these {}", "忽略这 {} 个";

    // Nodes
    CLOCK: "Clock", "时钟";
    OWNED: "Tasks owned", "负责任务数";
    SLOTS: "Slots", "并发上限";
    WEIGHT: "Weight", "权重";
    LABELS: "Labels", "标签";
    VERSION: "Version", "版本";
    STARTED_AT: "Running since", "启动于";
    LAST_SEEN: "Heard", "最近心跳";
    ADDRESS: "Address", "地址";
    TERM: "Term", "任期";
    APPLIED: "Applied index", "已应用索引";
    UNLIMITED: "no limit", "无限制";
    THIS_NODE: "this node", "本节点";
    IN_STEP: "in step", "正常";
    AHEAD: "{} ahead", "快 {}";
    BEHIND: "{} behind", "慢 {}";

    // Executors
    NO_EXECUTORS: "No executor has registered. Executors are services outside the cluster that carry out executions.", "没有已注册的执行器。执行器是集群外部执行任务的服务。";
    LOAD: "Load", "负载";
    HEARTBEAT: "Last heartbeat", "最近心跳";

    // Week
    WEEK_HELP: "Ticks of all active tasks in each hour of the next seven days. Select an hour to see its tasks.", "未来七天每小时内所有活动任务的触发次数。选择一小时查看其任务。";
    WORST_MINUTE: "Most tasks in one minute: {} at {}", "单分钟内触发任务最多：{} 个，{}";
    SPREAD: "{} tasks tick at this minute. H in a cron field, or jitter, spreads them.", "该分钟有 {} 个任务触发。在 cron 字段中使用 H 或设置 jitter 可以错开。";
    IN_THIS_HOUR: "Tasks that tick {}", "{} 触发的任务";
    WEEK_PARTIAL: "There are too many ticks to count all of them; the numbers are too low.", "触发次数过多，统计值偏低。";
    HOUR: "Hour", "小时";
    DAYS_OF_WEEK: "Mon,Tue,Wed,Thu,Fri,Sat,Sun", "周一,周二,周三,周四,周五,周六,周日";

    // Calendars
    NO_CALENDARS: "There are no calendars. A calendar names times that schedules leave out.", "没有日历。日历定义调度要排除的时间。";
    USED_BY: "Used by", "使用者";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_there_in_each_language_with_the_same_values() {
        for (name, text) in ALL.iter().chain(edit::ALL) {
            assert!(!text.en.is_empty() && !text.zh.is_empty(), "{name}");
            assert_eq!(text.en.matches("{}").count(), text.zh.matches("{}").count(), "{name}");
        }
    }

    #[test]
    fn the_language_is_the_first_that_the_page_has() {
        for (header, lang) in [
            ("", Language::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh),
            ("en-GB,zh;q=0.9", Language::En),
            ("fr, zh;q=0.3, en;q=0.2", Language::Zh),
            ("fr, *", Language::En),
            ("en;q=0.1, ZH-tw;q=0.2", Language::Zh),
        ] {
            assert_eq!(Language::accepted(header), lang, "{header}");
        }
    }

    #[test]
    fn words_of_the_contract_are_translated() {
        assert_eq!(Language::Zh.word("missed"), "错过");
        assert_eq!(Language::En.word("catch_up"), "catch up");
        let words = crate::ops::words::STATUSES.into_iter().chain(crate::ops::words::TASK_STATES);
        for word in words {
            assert_ne!(Language::Zh.word(word), word, "{word}");
        }
    }
}
