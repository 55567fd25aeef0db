//! Process tests: one program, so that they run beside each other and not one after the other.

mod t05_crontab;
mod t10_lifecycle;
mod t20_kill;
mod t30_durable;
mod t40_cut_off;
mod t45_torn;
mod t50_disk;
mod t60_cli;
mod t65_first_day;
