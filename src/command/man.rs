//! `shipctl man`: the manual, one page on stdout or all pages in a folder.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::error::{Error, Result};
use crate::output::Printer;

/// Print the manual page, or write all pages to a folder
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  shipctl man | man -l -
  shipctl man --out ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write shipctl.1, shipctl-deploy.1, … to DIR
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, printer: Printer) -> Result<()> {
    let mut command = Cli::command();
    command.build();
    let Some(folder) = &args.out else {
        let page =
            page(&command).map_err(|error| Error::internal("cannot render the manual").cause(error))?;
        printer.data(&String::from_utf8_lossy(&page));
        return Ok(());
    };
    let unwritable = |error: std::io::Error| {
        Error::internal(format!("cannot write the manual to `{}`", folder.display())).cause(error)
    };
    fs::create_dir_all(folder).map_err(unwritable)?;
    let mut pages = vec![("shipctl".to_owned(), command.clone())];
    for subcommand in command
        .get_subcommands()
        .filter(|subcommand| !subcommand.is_hide_set())
    {
        let name = format!("shipctl-{}", subcommand.get_name());
        pages.push((name.clone(), subcommand.clone().name(name)));
    }
    for (name, command) in pages {
        let rendered = page(&command).map_err(unwritable)?;
        fs::write(folder.join(format!("{name}.1")), rendered).map_err(unwritable)?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}
