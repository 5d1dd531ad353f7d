//! `sea logs` and `sea events`.

use std::time::Duration;

use base::{AppName, Clock, Kind, Report, SystemClock, Timestamp, percent};
use hyper::Method;
use talk::{Event, LogLine};

use crate::args::{EventsArgs, LogsArgs};
use crate::output::{note, say};
use crate::resolve::Named;
use crate::{Done, Session, report};

impl Session {
    /// `sea logs`.
    pub(crate) async fn logs(&self, args: LogsArgs) -> Done {
        let mut target = String::from("/v1/logs?");
        let several = match self.named(&args.names).await? {
            Named::Services(app, services) => {
                let names: Vec<&str> = services.iter().map(base::ServiceName::as_str).collect();
                target.push_str(&format!("app={app}&services={}", percent::encode(&names.join(","))));
                true
            }
            Named::Containers(names) => {
                target.push_str(&format!("containers={}", percent::encode(&names.join(","))));
                names.len() > 1
            }
        };
        target.push_str(&format!("&follow={}", args.follow));
        if let Some(tail) = args.tail.as_deref().filter(|tail| *tail != "all") {
            let lines: u64 = tail.parse().map_err(|_| {
                Report::new(Kind::Invalid, format!("`{tail}` is not a number of lines"))
                    .hint("as in `-n 20`, or `-n all`")
            })?;
            target.push_str(&format!("&tail={lines}"));
        }
        for (name, text) in [("since", &args.since), ("until", &args.until)] {
            if let Some(text) = text {
                target.push_str(&format!("&{name}={}", moment(text)?.0));
            }
        }
        let prefix = several && !args.no_log_prefix;
        self.print_lines(&target, prefix, args.timestamps).await
    }

    /// Follows the logs of an app until Ctrl-C.
    pub(crate) async fn follow_app_logs(&self, app: &AppName) -> Done {
        let target = format!("/v1/logs?app={app}&follow=true&tail=10");
        tokio::select! {
            done = self.print_lines(&target, true, false) => done,
            _ = tokio::signal::ctrl_c() => Ok(0),
        }
    }

    async fn print_lines(&self, target: &str, prefix: bool, timestamps: bool) -> Done {
        let mut lines = self.client.follow(Method::GET, target, &()).await.map_err(report)?;
        let mut width = 0;
        while let Some(line) = lines.next::<LogLine>().await.map_err(report)? {
            if self.json() {
                say(serde_json::to_string(&line).unwrap_or_default());
                continue;
            }
            let time = if timestamps { format!("{} ", line.at) } else { String::new() };
            let text = if prefix {
                width = width.max(line.container.chars().count());
                format!("{:width$} | {time}{}", line.container, line.text)
            } else {
                format!("{time}{}", line.text)
            };
            if line.stderr && !prefix { note(text) } else { say(text) }
        }
        Ok(0)
    }

    /// `sea events`.
    pub(crate) async fn events(&self, args: EventsArgs) -> Done {
        let mut target = format!("/v1/events?follow={}&tail={}", args.follow, args.tail);
        if let Some(app) = if args.everything { None } else { self.app_name_if_any()? } {
            target.push_str(&format!("&app={app}"));
        }
        if let Some(since) = &args.since {
            target.push_str(&format!("&since={}", moment(since)?.0));
        }
        let mut lines = self.client.follow(Method::GET, &target, &()).await.map_err(report)?;
        while let Some(event) = lines.next::<Event>().await.map_err(report)? {
            if self.json() {
                say(serde_json::to_string(&event).unwrap_or_default());
            } else {
                let at = event.at.to_string();
                let app = event.app.map_or_else(String::new, |app| format!(" {app}"));
                say(format!("{}Z{app} {} ({})", at.get(..23).unwrap_or(&at), event.message, event.event));
            }
        }
        Ok(0)
    }
}

/// A moment: RFC 3339, seconds since 1970 began, or an age as in `10m`.
fn moment(text: &str) -> Result<Timestamp, Report> {
    if let Some(moment) = Timestamp::from_rfc3339(text) {
        return Ok(moment);
    }
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(Timestamp::from_secs(seconds));
    }
    let age = age(text).ok_or_else(|| {
        Report::new(Kind::Invalid, format!("`{text}` is not a time"))
            .hint("write a moment as in `2026-01-31T12:00:00Z`, or an age as in `10m` or `1h30m`")
    })?;
    Ok(Timestamp(SystemClock.wall().0 - i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)))
}

/// A duration as Go writes it: `1h30m`, `10s`, `250ms`.
pub(crate) fn age(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty()).then(|| Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests;
