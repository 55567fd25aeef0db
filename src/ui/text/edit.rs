//! The texts of the form for tasks, of its preview and of its differences.

use super::Text;

texts! {
    // Pages and buttons
    NEW_TASK: "New task", "新建任务";
    EDIT: "Edit", "编辑";
    EDIT_TASK: "Edit {}", "编辑 {}";
    COPY: "Copy", "复制";
    PREVIEW_IT: "Preview", "预览";
    AS_YAML: "Edit as YAML", "以 YAML 编辑";
    AS_FORM: "Edit as form", "以表单编辑";
    BACK_TO_TASK: "Discard", "放弃修改";
    CREATE: "Create the task", "创建任务";
    SAVE: "Save", "保存";
    SAVE_OVER: "Save over revision {}", "覆盖版本 {} 保存";
    DID_CREATE: "{} is created.", "{} 已创建。";
    DID_SAVE: "{} is saved as revision {}.", "{} 已保存为版本 {}。";
    EDIT_FROM: "Edit from this revision", "从此版本编辑";
    FROM_REVISION: "The form has the definition of revision {}. Nothing changes until it is saved.", "表单内容来自版本 {} 的定义。保存之前不会有任何更改。";
    COPY_OF: "The form has the definition of {}.", "表单内容来自 {} 的定义。";
    YAML_SOURCE: "The whole definition", "完整定义";
    YAML_HELP: "YAML, or JSON. A field that is left out has its default.", "YAML 或 JSON。省略的字段取默认值。";
    MORE_FIELDS: "More", "更多";

    // Basics
    BASICS: "Task", "任务";
    NAME: "Name", "名称";
    DESCRIPTION: "Description", "描述";
    LABELS: "Labels, one on each line", "标签，每行一个";
    ENABLED: "Enabled: its ticks fire", "启用：到时触发";

    // Schedule
    WHEN: "When it ticks", "何时触发";
    RULE_CRON: "Cron", "Cron";
    RULE_INTERVAL: "Interval", "固定间隔";
    RULE_DAILY: "Daily", "每天";
    RULE_WEEKLY: "Weekly", "每周";
    RULE_MONTHLY: "Monthly", "每月";
    RULE_AT: "Once", "一次";
    RULE_DELAY: "After a delay", "延迟一次";
    RULE_IMMEDIATE: "At once", "立即一次";
    RULE_MANUAL: "By hand only", "仅手动";
    CRON: "Cron expression, 5 to 7 fields", "Cron 表达式，5 到 7 个字段";
    EVERY: "Every", "间隔";
    TIMES: "Times of day", "时刻";
    WEEKDAYS: "Days of the week", "星期";
    MONTH_DAYS: "Days of the month; -1 is the last one", "日期；-1 表示最后一天";
    TIME: "Time of day", "时刻";
    INSTANT: "Time, with its offset", "时间（含时区偏移）";
    DELAY: "Time from saving to the tick", "保存后延迟";
    ZONE: "Time zone; empty: {}", "时区；留空为 {}";
    GAP: "A local time that a clock change leaves out", "时钟调整跳过的本地时间";
    GAP_SHIFT: "ticks right after the gap", "在跳过之后立即触发";
    GAP_SKIP: "does not tick", "不触发";
    FOLD: "A local time that comes twice", "出现两次的本地时间";
    FOLD_FIRST: "ticks the first time", "第一次时触发";
    FOLD_SECOND: "ticks the second time", "第二次时触发";
    FOLD_BOTH: "ticks both times", "两次都触发";
    JITTER: "Jitter: a tick is due at most this much later", "抖动：触发最多推迟";
    EXCLUDE: "Calendars to leave out", "排除的日历";
    NOT_BEFORE: "No tick before", "不早于";
    NOT_AFTER: "No tick after", "不晚于";
    MAX_TICKS: "Ends after so many ticks", "触发次数上限";

    // Action
    WHAT: "What it does", "执行内容";
    ACTION_NONE: "Function or executor of its name", "同名函数或执行器";
    ACTION_SHELL: "Command", "命令";
    ACTION_HTTP: "HTTP request", "HTTP 请求";
    ACTION_EXECUTOR: "Executor", "执行器";
    ACTION_FUNC: "Function", "函数";
    COMMAND: "Program and arguments; no shell reads them", "程序和参数；不经过 shell";
    FOLDER: "Working folder", "工作目录";
    USER: "User", "用户";
    ENVIRONMENT: "Environment, one variable on each line", "环境变量，每行一个";
    STDIN: "Standard input", "标准输入";
    URL: "URL", "URL";
    METHOD: "Method", "方法";
    HEADERS: "Headers, one on each line", "请求头，每行一个";
    HTTP_BODY: "Body", "请求体";
    EXPECT_STATUS: "Statuses that mean success", "表示成功的状态码";
    CONNECT_TIMEOUT: "Time limit to connect", "连接时限";
    EXECUTORS: "Executors; empty: all that declared the task", "执行器；留空为所有声明该任务的执行器";
    FUNCTION: "Function", "函数";
    PARAMETERS: "Parameters, as a JSON object", "参数（JSON 对象）";
    PAYLOAD: "Payload", "负载";

    // Policies
    POLICIES: "If something is not as it should be", "异常情况的处理";
    IF_LIVE: "If an execution has not ended, the next one", "若前一次执行未结束，下一次";
    NEXT_WAITS: "waits in line", "排队等待";
    NEXT_SKIPPED: "is skipped", "跳过";
    NEXT_BESIDE: "runs beside it", "并行执行";
    NEXT_REPLACES: "replaces it: the first one is stopped", "替换：停止前一次";
    STOPPED_AFTER: "An attempt is stopped after; 0s: never", "单次尝试的时限；0s 为不限";
    REPEATED: "If an attempt fails, it is repeated at most so many times", "失败后最多重试次数";
    REPEATED_AFTER: "after a delay of", "重试间隔";
    BACKOFF: "Each further delay is", "之后的间隔";
    BACKOFF_FIXED: "the same", "不变";
    BACKOFF_EXPONENTIAL: "twice as long", "加倍";
    LATE: "Of ticks that nobody settled in time", "未及时处理的触发";
    LATE_LAST: "the last one fires", "补触发最后一次";
    LATE_ALL: "all fire", "全部补触发";
    LATE_NONE: "none fires", "不补触发";
    LATE_WINDOW: "if they are at most so old", "补触发的最大时效";
    LATE_ON_RESUME: "The same holds for ticks of a pause", "暂停期间的触发同样处理";
    MAX_LIVE: "Executions at once that have not ended", "同时未结束的执行上限";
    QUEUE_MAX: "Executions that may wait", "排队上限";
    GROUP: "Group of tasks with a common limit", "共享上限的任务组";
    GROUP_LIMIT: "Executions of the group at once", "组内同时执行上限";
    PRIORITY: "Priority, 0 to 9; higher ones start first", "优先级 0 到 9，高者先启动";
    DELIVERY: "If the node of an attempt is gone, the attempt", "若执行节点失联，该尝试";
    AT_MOST_ONCE: "is not repeated: at most once", "不重复：至多一次";
    AT_LEAST_ONCE: "is repeated: at least once", "重复：至少一次";
    KILL_GRACE: "From the request to stop to the kill", "从请求停止到强制终止";
    LOST_AFTER: "An attempt is lost if its node is gone for", "节点失联多久视为丢失";
    MAX_DELAY: "No retry delay is longer than", "重试间隔上限";
    SELECTOR: "Labels that its node must have, one on each line", "节点必须具有的标签，每行一个";
    THEN_SUCCESS: "Tasks that its success starts", "成功后启动的任务";
    THEN_FAILURE: "Tasks that its failure starts", "失败后启动的任务";
    AFTER_RUN: "After an execution of a tick the task", "一次触发的执行结束后，任务";
    AFTER_KEEP: "stays", "保留";
    AFTER_MARK: "is marked deleted", "标记为已删除";
    AFTER_CLEANUP: "is removed with its history", "连同历史一起清除";
    ONE_SHOT: "Its first tick completes it", "首次触发后完成";

    // Preview
    PREVIEW: "Preview", "预览";
    PREVIEW_HERE: "What the schedule means appears here before anything is saved.", "保存之前，此处显示该调度的含义。";
    NOT_VALID: "Not valid yet", "尚未有效";
    NOT_SAVED: "It was not saved", "未保存";
    NEXT_TICKS: "Next ticks", "接下来的触发";
    IN_ZONE: "In {}", "{} 时间";
    NOTE: "Note", "说明";
    NO_TICKS_OF_ITS_OWN: "It has no ticks of its own.", "没有自动触发。";
    CLOCK_CHANGES: "Clock changes within a year", "一年内的时钟调整";
    CHANGES_AFFECT_NONE: "The clocks change on {}. No tick is affected.", "时钟将在 {} 调整。不影响任何触发。";
    NO_CLOCK_CHANGE: "No clock change lies ahead.", "没有时钟调整。";
    YEAR: "Ticks of each day, for a year, in {}", "一年内每天的触发次数（{}）";
    YEAR_SUM: "Ticks: {}, on {} of {} days; most on {}: {}.", "触发 {} 次，分布在 {}/{} 天；最多的一天是 {}：{} 次。";
    YEAR_NONE: "No tick within a year.", "一年内没有触发。";
    MORE_THAN: "more than {}", "超过 {}";
    MOVED: "What changes in the next 7 days", "未来 7 天的变化";
    MOVED_UNTIL: "What changes until {}", "到 {} 为止的变化";
    GONE: "Ticks that go: {}", "减少的触发：{}";
    COME: "Ticks that come: {}", "新增的触发：{}";
    KEPT: "Ticks that stay: {}", "不变的触发：{}";
    NONE_MOVES: "All ticks stay: {}", "全部触发不变：{}";
    DIFFERENCE: "What saving changes", "保存将更改";
    NO_DIFFERENCE: "Nothing is changed.", "没有更改。";
    LOOK_AGAIN: "The form was changed after this preview was made. Look at it, and save again.", "表单在预览之后又有修改。请查看预览后再次保存。";
    CONFLICT: "{} was changed since this form was opened. Nothing was saved.", "打开此表单之后，{} 已被修改。尚未保存。";
    OTHERS_CHANGED: "What others changed meanwhile (revision {})", "期间他人的更改（版本 {}）";
    OTHERS_STATE: "Its state was changed, and not its definition.", "更改的是状态，不是定义。";
    OTHERS_UNKNOWN: "The revision from which this form was filled is no longer kept.", "此表单所依据的版本已不再保留。";
    CARRIED_OVER: "Your changes are carried over to revision {}. Saving changes only what is listed here.", "你的修改已移到版本 {} 上。保存只更改此处列出的内容。";
    ABSENT: "none", "无";
}
