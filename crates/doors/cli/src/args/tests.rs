//! The command line as a whole.

use clap::CommandFactory;

use super::*;

#[test]
fn no_flag_of_any_command_clashes_with_another() {
    Cli::command().debug_assert();
}

#[test]
fn the_app_can_be_named_before_and_behind_the_command() {
    let mut cli = Cli::parse_from(["sea", "-f", "a.yaml", "-p", "shop", "up", "-d", "-f", "b.yaml"]);
    let app = cli.command.take_app().over(cli.app);
    assert_eq!(app.files, ["a.yaml", "b.yaml"]);
    assert_eq!(app.project_name.as_deref(), Some("shop"));
}

#[test]
fn short_flags_mean_what_docker_means_by_them() {
    let cli = Cli::parse_from(["sea", "logs", "-f", "web"]);
    assert!(matches!(cli.command, Command::Logs(LogsArgs { follow: true, .. })));
    let cli = Cli::parse_from(["sea", "run", "-p", "8080:80", "busybox", "httpd", "-f"]);
    let Command::Run(run) = cli.command else { panic!("it is a run") };
    assert_eq!(
        (run.publish, run.words),
        (vec!["8080:80".to_owned()], vec!["busybox".to_owned(), "httpd".to_owned(), "-f".to_owned()])
    );
}

#[test]
fn what_is_thrown_away_is_a_url_or_all_of_somebody() {
    for (words, good) in [
        (&["a.example/x"][..], true),
        (&["--prefix", "a.example/x"], true),
        (&["--all", "shop"], true),
        (&[], false),
        (&["--prefix"], false),
        (&["--prefix", "--all", "shop"], false),
        (&["--all", "shop", "a.example/x"], false),
    ] {
        let parsed = Cli::try_parse_from([&["sea", "route", "purge"], words].concat());
        assert_eq!(parsed.is_ok(), good, "{words:?}");
    }
}

#[test]
fn behind_the_image_nothing_is_a_flag_of_ours() {
    for words in
        [&["busybox", "-d", "-p", "8080"][..], &["nginx:1.22", "-t", "-q", "--help"], &["b", "--name", "x"]]
    {
        let cli = Cli::parse_from([&["sea", "run", "--rm"], words].concat());
        let Command::Run(run) = cli.command else { panic!("it is a run") };
        assert!(run.rm && !run.detach && !run.tty && run.name.is_none() && run.publish.is_empty());
        assert_eq!(run.words, words);
        let cli = Cli::parse_from([&["sea", "exec", "-e", "A=1"], words].concat());
        let Command::Exec(exec) = cli.command else { panic!("it is an exec") };
        assert_eq!(
            (exec.words, exec.detach),
            (words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), false)
        );
    }
}
