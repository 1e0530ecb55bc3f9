//! A terminal: the program in a pty, and what stands on the screen.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use super::{PATIENCE, TestEnv};

/// The program on a terminal.
pub(crate) struct Screen {
    master: Box<dyn MasterPty + Send>,
    keyboard: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    printed: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
    size: PtySize,
}

impl Screen {
    /// Starts the program on a terminal of that size.
    pub(crate) fn start(env: &TestEnv, columns: u16, rows: u16, args: &[&str]) -> Self {
        let size = PtySize {
            rows,
            cols: columns,
            pixel_width: 0,
            pixel_height: 0,
        };
        let pair = native_pty_system().openpty(size).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_shipctl"));
        command.args(args);
        command.cwd(env.project());
        command.env_clear();
        for (name, value) in env.variables() {
            command.env(name, value);
        }
        command.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let mut reader = pair.master.try_clone_reader().unwrap();
        let keyboard = pair.master.take_writer().unwrap();
        let printed = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&printed);
        let reading = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // A terminal whose program has gone answers with an error.
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                kept.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Self {
            master: pair.master,
            keyboard,
            child,
            printed,
            reading: Some(reading),
            size,
        }
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
        self.keyboard.flush().unwrap();
    }

    /// Everything that was printed so far, escape codes and all.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.printed.lock().unwrap().clone()
    }

    /// The screen, with so many lines above it that nothing has scrolled away.
    fn parse(&self) -> vt100::Parser {
        let mut parser = vt100::Parser::new(500, self.size.cols, 0);
        parser.process(&self.bytes());
        parser
    }

    /// What can be read.
    pub(crate) fn text(&self) -> String {
        let parser = self.parse();
        let screen = parser.screen();
        let lines: Vec<String> = screen.rows(0, self.size.cols).collect();
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    /// What can be read, with its colours.
    pub(crate) fn painted(&self) -> String {
        let parser = self.parse();
        let screen = parser.screen();
        let (rows, columns) = screen.size();
        let mut text = String::new();
        for row in 0..rows {
            let mut style = String::new();
            let mut line = String::new();
            for cell in (0..columns).filter_map(|column| screen.cell(row, column)) {
                let wanted = style_of(cell);
                if wanted != style {
                    line.push_str("\u{1b}[0m");
                    line.push_str(&wanted);
                    style = wanted;
                }
                line.push_str(if cell.has_contents() { cell.contents() } else { " " });
            }
            text.push_str(line.trim_end());
            text.push_str("\u{1b}[0m\n");
        }
        let empty = "\u{1b}[0m\n";
        while let Some(shorter) = text.strip_suffix(&format!("{empty}{empty}")) {
            text = format!("{shorter}{empty}");
        }
        text
    }

    /// Waits until a text stands on the screen.
    pub(crate) fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.text().contains(text) {
            assert!(
                begun.elapsed() < PATIENCE,
                "waited in vain for {text:?}\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end; answers with the exit code.
    pub(crate) fn end(&mut self) -> u32 {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                panic!("it does not end\n{}", self.text());
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        let _ = self.master.get_size();
        status.exit_code()
    }

    /// The longest line that was printed, whatever was drawn over it since.
    pub(crate) fn widest_line(&self) -> (usize, String) {
        let text = String::from_utf8(self.bytes()).unwrap();
        let plain = super::text::without_escapes(&text);
        plain
            .split(['\n', '\r'])
            .map(|line| (line.trim_end().chars().count(), line.to_owned()))
            .max()
            .unwrap_or_default()
    }
}

/// The escape codes that a cell's look takes.
fn style_of(cell: &vt100::Cell) -> String {
    let mut codes = String::new();
    if cell.bold() {
        codes.push_str("\u{1b}[1m");
    }
    if cell.dim() {
        codes.push_str("\u{1b}[2m");
    }
    if let vt100::Color::Idx(color @ 0..8) = cell.fgcolor() {
        let _ = write!(codes, "\u{1b}[{}m", 30 + color);
    }
    codes
}
