//! Words of `ps`, and rows.

use super::*;

#[track_caller]
fn titles(words: &str, wanted: &str) {
    let told = match options::parse(words) {
        Ok(columns) => columns.into_iter().map(|(_, title)| title).collect::<Vec<_>>().join(" "),
        Err(error) => error,
    };
    assert_eq!(told, wanted, "{words}");
}

#[test]
fn words_of_ps_become_its_columns() {
    titles("", "UID PID PPID C STIME TTY TIME CMD");
    titles("-ef", "UID PID PPID C STIME TTY TIME CMD");
    titles("aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
    titles("-aux", "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
    titles("-o pid,comm", "PID COMMAND");
    titles("-eo pid,user,args", "PID USER COMMAND");
    titles("axo pid,stat", "PID STAT");
    titles("-efl", "F S UID PID PPID C PRI NI ADDR SZ WCHAN STIME TTY TIME CMD");
    titles("-o pid -o comm=NAME", "PID NAME");
    titles("-e", "PID TTY TIME CMD");
    titles("x", "PID TTY STAT TIME COMMAND");
}

#[test]
fn words_that_ps_does_not_know_are_refused_in_its_words() {
    titles("-o pid,nope", "ps: error: unknown user-defined format specifier \"nope\"");
    titles("bogus", "ps: error: unsupported option (BSD syntax)");
    titles("-Z", "ps: error: unsupported SysV option");
    titles("--forest", "ps: error: unknown gnu long option");
    titles("-o comm", "Couldn't find PID field in ps output");
    titles("-o pid=hello,comm", "Couldn't find PID field in ps output");
    titles("-o user=PID", "specifying \"user=PID\" is not allowed");
}

#[test]
fn a_row_says_what_the_kernel_says() {
    let stat = "7 (a b) S) S 1 7 7 34816 7 4194560 10 0 1 0 250 50 0 0 20 0 2 0 36000 4096000 25 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0";
    let status = "Name:\ta\nUid:\t0\t33\t0\t0\nGid:\t0\t34\t0\t0\nVmLck:\t       0 kB\n";
    let sight = Sight::parse(7, stat, status, b"prog\0--flag\0\0", "0").unwrap();
    let machine = Machine {
        now_secs: 1000,
        booted_secs: 400,
        uptime_ticks: 60_000,
        memory_bytes: 1_024_000,
        page_bytes: 4096,
        users: [(33, "www".to_owned())].into(),
        groups: [].into(),
    };
    let columns =
        options::parse("-o pid,comm,user,group,stat,tty,time,etime,%cpu,%mem,vsz,args,lstart").unwrap();
    let row: Vec<_> = columns.iter().map(|(column, _)| column.text(&sight, &machine)).collect();
    let wanted = [
        "7",
        "a b) S",
        "www",
        "34",
        "Ssl+",
        "pts/0",
        "00:00:03",
        "04:00",
        "1.2",
        "10.0",
        "4000",
        "prog --flag",
        "Thu Jan  1 00:12:40 1970",
    ];
    assert_eq!(row, wanted);
}
