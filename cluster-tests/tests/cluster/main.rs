//! Process tests, in one program, so that they run in parallel.

mod t05_crontab;
mod t10_lifecycle;
mod t12_endings;
mod t15_actions;
mod t15_drained;
mod t20_kill;
mod t22_lines;
mod t23_attempts;
mod t24_executors;
mod t24_output;
mod t25_silence;
mod t26_executor_faults;
mod t26_interrupted;
mod t30_durable;
mod t40_cut_off;
mod t45_torn;
mod t50_disk;
mod t55_files;
mod t60_cli;
mod t61_readme;
mod t62_curl_lines;
mod t65_first_day;
mod t70_metrics;
mod t71_log;
mod t72_alerts;
mod t80_faults;
