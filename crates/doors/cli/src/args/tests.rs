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
        (run.publish, run.command),
        (vec!["8080:80".to_owned()], vec!["httpd".to_owned(), "-f".to_owned()])
    );
}
