//! The two text formats of the metrics page.
//!
//! The library writes OpenMetrics. Prometheus before 2.5 and many other programs read the older
//! text format 0.0.4, which is the default for clients that do not request OpenMetrics.

use std::fmt::Write as _;

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsFormat {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl MetricsFormat {
    /// The media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for a request with this `Accept` header: OpenMetrics if the header lists it with
    /// at least the weight of plain text.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let weight = |kind: &str| {
            accept.split(',').filter_map(|item| weight(item, kind)).fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") { Self::OpenMetrics } else { Self::Text }
    }
}

/// The weight of a media type in one item of an `Accept` header. `None` if the item is another
/// media type or an unsupported version.
fn weight(item: &str, kind: &str) -> Option<f32> {
    let mut parts = item.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(kind) {
        return None;
    }
    let mut weight = 1.0;
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match (name.trim().to_ascii_lowercase().as_str(), value.trim()) {
            ("q", value) => weight = value.parse().unwrap_or(0.0),
            ("version", "0.0.4" | "1.0.0" | "0.0.1") => {}
            ("version", _) => return None,
            _ => {}
        }
    }
    Some(weight)
}

/// Converts a page from the library's format to `form`.
pub(super) fn finish(page: String, form: MetricsFormat) -> String {
    match form {
        MetricsFormat::OpenMetrics => page,
        MetricsFormat::Text => plain(&page),
    }
}

/// Converts OpenMetrics to text 0.0.4: `_total` of counters and `_info` become part of the metric
/// name, infos become gauges, infinity has another spelling, and there is no end marker.
fn plain(page: &str) -> String {
    let mut out = String::with_capacity(page.len() + page.len() / 8);
    let mut help = "";
    for line in page.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|about| about.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            let help = escaped(help);
            let _to_string =
                write!(out, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap_or((line, ""));
            let value = match value {
                "inf" => "+Inf",
                "-inf" => "-Inf",
                value => value,
            };
            let _to_string = writeln!(out, "{series} {value}");
        }
    }
    out
}

/// Escapes a help text so that it fits on one line.
fn escaped(help: &str) -> String {
    help.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_written_in_the_older_format() {
        let page = "# HELP p_build Version.\n# TYPE p_build info\np_build_info{version=\"1\"} 1\n\
                    # HELP p_ticks Ticks of C:\\x.\n# TYPE p_ticks counter\n\
                    p_ticks_total{verdict=\"a \\\"b\\\" inf\"} 3\n\
                    # HELP p_late_seconds Late.\n# TYPE p_late_seconds histogram\n\
                    # UNIT p_late_seconds seconds\n\
                    p_late_seconds_sum 1.5\np_late_seconds_bucket{le=\"+Inf\"} 1\n\
                    # HELP p_x X.\n# TYPE p_x gauge\np_x inf\np_x{a=\"b\"} -inf\n# EOF\n";
        assert_eq!(
            plain(page),
            "# HELP p_build_info Version.\n# TYPE p_build_info gauge\n\
             p_build_info{version=\"1\"} 1\n\
             # HELP p_ticks_total Ticks of C:\\\\x.\n# TYPE p_ticks_total counter\n\
             p_ticks_total{verdict=\"a \\\"b\\\" inf\"} 3\n\
             # HELP p_late_seconds Late.\n# TYPE p_late_seconds histogram\n\
             p_late_seconds_sum 1.5\np_late_seconds_bucket{le=\"+Inf\"} 1\n\
             # HELP p_x X.\n# TYPE p_x gauge\np_x +Inf\np_x{a=\"b\"} -Inf\n"
        );
    }

    #[test]
    fn the_format_follows_accept() {
        for (accept, form) in [
            ("", MetricsFormat::Text),
            ("*/*", MetricsFormat::Text),
            ("text/html, */*;q=0.1", MetricsFormat::Text),
            ("application/openmetrics-text", MetricsFormat::OpenMetrics),
            ("Application/OpenMetrics-Text; version=1.0.0; q=0.5", MetricsFormat::OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", MetricsFormat::Text),
            ("application/openmetrics-text; q=0", MetricsFormat::Text),
            (
                "application/openmetrics-text;q=0.4,text/plain;version=0.0.4;q=0.5",
                MetricsFormat::Text,
            ),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                 version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                MetricsFormat::OpenMetrics,
            ),
        ] {
            assert_eq!(MetricsFormat::accepted(accept), form, "{accept}");
        }
    }
}
