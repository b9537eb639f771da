//! Headless Chromium, driven through chromedriver by `WebDriver` and by the browser's own protocol.
//!
//! Nothing but loopback: the driver listens on a port that it finds itself, and is spoken to in plain HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::chromium;
use crate::support::process::Tied;
use crate::support::wait;

/// A browser takes its time where everything else is running too.
const PATIENCE: Duration = Duration::from_secs(60);

const FLAGS: [&str; 12] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    // Over a pipe the browser ends with its driver, however that ends.
    "--remote-debugging-pipe",
    "--force-color-profile=srgb",
];

/// A browser with one empty page.
pub(crate) struct Browser {
    _driver: Tied,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let data = profile.path().join("profile");
        let log = profile.path().join("chromedriver.log");
        chromium::installed();
        let driver = Tied::start(Path::new("chromedriver"), ["--port=0"], &log, |_| {});
        let port = wait::until("chromedriver's port", PATIENCE, || {
            let said = driver.log();
            let (_, said) = said.split_once("successfully on port ")?;
            let (port, _) = said.split_once('.')?;
            port.parse().ok()
        });
        let mut browser = Self {
            _driver: driver,
            port,
            session: String::new(),
            _profile: profile,
        };
        let mut flags = FLAGS.map(str::to_owned).to_vec();
        flags.push(format!("--user-data-dir={}", data.display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "args": flags },
        } } });
        let opened = browser.ask("POST", "/session", &wanted);
        browser.session = String::from(opened["sessionId"].as_str().unwrap());
        browser.size(1_280, 900);
        // What the browser's own first page asked for is its own affair.
        browser.post("/url", &json!({ "url": "about:blank" }));
        browser.requests();
        browser.complaints();
        browser
    }

    /// Opens a page of the disk.
    pub(crate) fn open(&self, page: &Path) {
        self.post(
            "/url",
            &json!({ "url": format!("file://{}", page.display()) }),
        );
        self.settle();
    }

    /// Waits until what was asked to be drawn is drawn.
    pub(crate) fn settle(&self) {
        let script = "const done = arguments[0]; \
                      requestAnimationFrame(() => requestAnimationFrame(() => done(null)));";
        self.post("/execute/async", &json!({ "script": script, "args": [] }));
    }

    /// What a function's body gives back in the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The same, of a number.
    pub(crate) fn number(&self, script: &str) -> f64 {
        let value = self.run(script);
        value
            .as_f64()
            .unwrap_or_else(|| panic!("{script}: {value}"))
    }

    pub(crate) fn size(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.tell("Emulation.setDeviceMetricsOverride", &size);
    }

    /// What the page takes the reader's wishes for: `prefers-color-scheme`, `dark`.
    pub(crate) fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<_> = features
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        self.tell(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
        self.settle();
    }

    /// A command of the browser's own protocol.
    pub(crate) fn tell(&self, command: &str, params: &Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        )
    }

    /// The mouse is pressed at the first place, moved to the others, and let go at the last.
    pub(crate) fn drag(&self, places: &[(f64, f64)]) {
        let event = |kind: &str, (x, y): (f64, f64), buttons: u32| {
            let event = json!({ "type": kind, "x": x, "y": y, "button": if buttons > 0 || kind == "mouseReleased" { "left" } else { "none" },
                "buttons": buttons, "clickCount": 1 });
            self.tell("Input.dispatchMouseEvent", &event);
        };
        let (first, last) = (places[0], places[places.len() - 1]);
        event("mouseMoved", first, 0);
        event("mousePressed", first, 1);
        for &place in places {
            event("mouseMoved", place, 1);
        }
        event("mouseReleased", last, 0);
        self.settle();
    }

    pub(crate) fn hover(&self, (x, y): (f64, f64)) {
        self.tell(
            "Input.dispatchMouseEvent",
            &json!({ "type": "mouseMoved", "x": x, "y": y }),
        );
        self.settle();
    }

    /// A finger does the same.
    pub(crate) fn swipe(&self, places: &[(f64, f64)]) {
        for (index, (x, y)) in places.iter().enumerate() {
            let kind = if index == 0 {
                "touchStart"
            } else {
                "touchMove"
            };
            let points = json!([{ "x": x, "y": y }]);
            self.tell(
                "Input.dispatchTouchEvent",
                &json!({ "type": kind, "touchPoints": points }),
            );
        }
        self.tell(
            "Input.dispatchTouchEvent",
            &json!({ "type": "touchEnd", "touchPoints": [] }),
        );
        self.settle();
    }

    /// A key goes down and up, wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.tell(
                "Input.dispatchKeyEvent",
                &json!({ "type": kind, "key": key, "code": key }),
            );
        }
        self.settle();
    }

    /// The middle of an element, in the window, after it was scrolled to.
    pub(crate) fn middle(&self, selector: &str) -> (f64, f64) {
        let place = self.run(&format!(
            "const e = document.querySelector('{selector}'); e.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2];"
        ));
        (place[0].as_f64().unwrap(), place[1].as_f64().unwrap())
    }

    /// What the browser complained of since this was asked last.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.log("browser").iter().map(Value::to_string).collect()
    }

    /// The addresses that were asked for since this was asked last.
    pub(crate) fn requests(&self) -> Vec<String> {
        let mut asked = Vec::new();
        for entry in self.log("performance") {
            let message: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let message = &message["message"];
            if message["method"] == "Network.requestWillBeSent" {
                asked.push(
                    message["params"]["request"]["url"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                );
            }
        }
        asked
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        self.post("/se/log", &json!({ "type": kind }))
            .as_array()
            .unwrap()
            .clone()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, reply) = self.exchange(method, path, body).unwrap();
        assert_eq!(code, 200, "{method} {path} {body}: {reply}");
        reply["value"].clone()
    }

    fn exchange(&self, method: &str, path: &str, body: &Value) -> std::io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.to_string();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut length, mut code) = (String::new(), 0, 0);
        while reader.read_line(&mut line)? > 2 {
            if let Some(status) = line.strip_prefix("HTTP/1.1 ") {
                code = status[..3].parse().unwrap();
            }
            if let Some(of_body) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = of_body.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut reply = vec![0; length];
        reader.read_exact(&mut reply)?;
        Ok((code, serde_json::from_slice(&reply)?))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            // The driver is killed in any case.
            let _ = self.exchange("DELETE", &format!("/session/{}", self.session), &json!({}));
        }
    }
}
