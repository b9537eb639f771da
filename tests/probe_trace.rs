//! No credentials in the log, however much the HTTP client says.

use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use electrumx_warden::daemon::Daemons;
use electrumx_warden::poll::SteadyClock;
use electrumx_warden::probe::{ProbeOptions, Prober};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses the first request with an echo of it all, and breaks the next one off.
fn serve(listener: &TcpListener) {
    for (i, stream) in listener.incoming().enumerate() {
        let mut stream = stream.unwrap();
        let mut request = [0; 4_096];
        let len = stream.read(&mut request).unwrap();
        if i == 0 {
            let echo = String::from_utf8_lossy(&request[..len]).replace("\r\n", " ");
            let error = serde_json::json!({ "id": 1, "result": null,
                "error": { "code": -1, "message": echo } });
            let error = error.to_string();
            let len = error.len();
            let head = "HTTP/1.1 500 Error\r\nConnection: close";
            let _ = write!(stream, "{head}\r\nContent-Length: {len}\r\n\r\n{error}");
        }
    }
}

#[test]
fn no_credentials_are_logged_or_reported() {
    // All of the process, at the level that says the most.
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .init();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(&listener));

    let urls = format!("http://CuriousUser:Very%40Secret@{address}");
    let daemons = Daemons::parse(&urls, None).unwrap();
    let options = ProbeOptions {
        timeout: Duration::from_secs(5),
        with_indexes: true,
    };
    let clock = Box::new(SteadyClock::start());
    let mut prober = Prober::new(&daemons, &options, clock).unwrap();
    let mut shown = vec![format!("{daemons:?} {prober:?} {options:?}")];
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for _ in 0..3 {
        let round = runtime.block_on(prober.probe());
        assert!(round.reports[0].heard.is_err());
        shown.push(format!("{round:?}"));
        shown.push(serde_json::to_string(&round).unwrap());
    }
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // The HTTP client does log.
    assert!(logged.contains("hyper_util"), "{logged}");
    assert!(logged.contains(&address.to_string()), "{logged}");
    for text in shown.into_iter().chain([logged]) {
        // The last is the user's and the password's beginning in Base64.
        for secret in ["CuriousUser", "Very", "Secret", "Q3VyaW91c1VzZXI6VmVye"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
