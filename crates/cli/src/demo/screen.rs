//! The demo's first screen: where it is, what is in it, and what to paste. 80 columns.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::ready_file::ACTIONS_TERMINAL;
use super::{Data, ReadyFile};
use crate::paint;
use crate::program::{self, quoted};

/// Prints it. A pipe that is closed already is no reason to end.
pub(super) fn print(
    ready: &ReadyFile,
    data: &Data,
    ready_file: Option<&Path>,
    took: Duration,
) -> anyhow::Result<()> {
    let data = match data {
        Data::Kept(dir) => dir.display().to_string(),
        Data::Temporary(_) => "temporary, removed at the end".to_owned(),
    };
    let text = render(ready, &data, ready_file, took, &program::name())?;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    Ok(())
}

fn render(
    ready: &ReadyFile,
    data: &str,
    ready_file: Option<&Path>,
    took: Duration,
    program: &str,
) -> anyhow::Result<String> {
    let mut out = String::new();
    let head = |text| paint::stdout(text, paint::BOLD);
    let name = paint::stdout("Tillgate demo", paint::BOLD);
    let note = format!("ready in {:.1} s; virtual terminals, no real money", took.as_secs_f64());
    writeln!(out, "\n{name}  {}\n", paint::stdout(&note, paint::DIM))?;
    writeln!(out, "  Gateway     {}", paint::stdout(&ready.base_url, paint::CYAN))?;
    writeln!(out, "  HTTPS       {}", paint::stdout(&ready.tls_base_url, paint::CYAN))?;
    writeln!(out, "  CA          {}", ready.ca_file.display())?;
    writeln!(out, "  Data        {data}")?;
    if let Some(file) = ready_file {
        writeln!(out, "  Ready file  {}", file.display())?;
    }

    writeln!(out, "\n{}", head("Terminals"))?;
    for terminal in &ready.terminals {
        let place = terminal.store.as_deref().or(terminal.merchant_account.as_deref()).unwrap_or("-");
        // What desktops of the Actions API call it.
        let called = terminal.device_id.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let (dot, state) = match (terminal.boarded, &terminal.boarding_code) {
            (true, _) => (paint::stdout("●", paint::GREEN), format!("{called}connected")),
            (false, Some(code)) => (paint::stdout("○", paint::YELLOW), format!("code {code}")),
            (false, None) if terminal.kind == ACTIONS_TERMINAL => {
                (paint::stdout("○", paint::YELLOW), format!("{called}free"))
            }
            (false, None) => (paint::stdout("·", paint::DIM), "in inventory".to_owned()),
        };
        writeln!(out, "  {dot} {:<21} {place:<17} {:<12} {state}", terminal.poi_id, terminal.platform)?;
    }

    writeln!(out, "\n{}", head("API keys"))?;
    let keys = &ready.api_keys;
    for (name, key) in [
        ("terminalApi", &keys.terminal_api),
        ("cloudDevice", &keys.cloud_device),
        ("management", &keys.management),
        ("actionsDesktop", &keys.actions_desktop),
        ("actionsDesktopSecret", &keys.actions_desktop_secret),
        ("actionsTerminal", &keys.actions_terminal),
        ("otherMerchant", &keys.other_merchant),
        ("otherCompany", &keys.other_company),
    ] {
        writeln!(out, "  {name:<20} {key}")?;
    }

    let poi =
        ready.terminals.iter().find(|terminal| terminal.boarded).map_or("POIID", |terminal| &terminal.poi_id);
    let (url, key) = (&ready.base_url, &ready.api_keys.terminal_api);
    writeln!(out, "\n{} Paste this into a shell:\n", head("Take a payment."))?;
    writeln!(out, "{}", curl(url, key, poi))?;
    writeln!(out, "\n{} With this program:\n", head("The same."))?;
    match ready_file {
        Some(file) => writeln!(
            out,
            "{program} pay --amount 10.99 --ready-file {}",
            quoted(&file.display().to_string())
        )?,
        None => {
            writeln!(out, "export TILLGATE_URL={url}")?;
            writeln!(out, "export TILLGATE_API_KEY={key}")?;
            writeln!(out, "{program} pay --amount 10.99 --poi-id {poi}")?;
        }
    }
    if let Some((poi, code)) =
        ready.terminals.iter().find_map(|t| Some((&t.poi_id, t.boarding_code.as_ref()?)))
    {
        writeln!(
            out,
            "\n{} A virtual terminal in a process of its own:\n",
            head("Board the one that waits.")
        )?;
        writeln!(out, "{program} terminal --url {url} \\\n  --poi-id {poi} --boarding-code {code}")?;
    }
    let free = ready.terminals.iter().find(|t| t.kind == ACTIONS_TERMINAL && !t.boarded);
    if let Some(name) = free.and_then(|terminal| terminal.device_id.as_ref()) {
        writeln!(out, "\n{} {name}, in a process of its own:\n", head("Be the terminal that is free."))?;
        writeln!(
            out,
            "{program} terminal --url {url} \\\n  --dialect actions --key {}",
            keys.actions_terminal
        )?;
    }
    writeln!(out, "\n{} With Node.js:\n", head("Be a desktop of the Actions API."))?;
    writeln!(out, "{}", wscat(url, &keys.actions_desktop))?;
    writeln!(out, "\nThe demo takes the key as /v1?x-api-key=KEY too (allow_key_in_query).")?;
    writeln!(out, "\n{}\n", paint::stdout("Ctrl-C ends the demo.", paint::DIM))?;
    Ok(out)
}

/// Opens a desktop's socket, and asks for its terminals.
fn wscat(url: &str, key: &str) -> String {
    let url = url.replacen("http", "ws", 1);
    format!(
        r#"npx -y wscat -c {url}/v1 \
  -H x-api-key:{key} \
  -x '{{"action":"getTerminals"}}' -w 600"#
    )
}

/// A whole request for bash or any other POSIX shell: the shell puts in a ServiceID that is new each second.
fn curl(url: &str, key: &str, poi: &str) -> String {
    format!(
        r#"curl -sS -w '\n' {url}/sync \
  -H 'x-api-key: {key}' \
  -H 'content-type: application/json' --data-binary @- <<JSON
{{"SaleToPOIRequest":{{
  "MessageHeader":{{"ProtocolVersion":"3.0","MessageClass":"Service",
    "MessageCategory":"Payment","MessageType":"Request","SaleID":"TILL-01",
    "ServiceID":"$(date +%s)","POIID":"{poi}"}},
  "PaymentRequest":{{
    "SaleData":{{"SaleTransactionID":{{
      "TransactionID":"order-$(date +%s)","TimeStamp":"$(date -u +%FT%TZ)"}}}},
    "PaymentTransaction":{{"AmountsReq":{{
      "Currency":"EUR","RequestedAmount":10.99}}}}}}}}}}
JSON"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::ready_file::{ApiKeys, TerminalEntry};

    fn ready() -> ReadyFile {
        let terminal =
            |poi: &str, merchant: &str, store: Option<&str>, boarded, code: Option<&str>| TerminalEntry {
                poi_id: poi.to_owned(),
                kind: "payment-terminal".to_owned(),
                platform: "non-android".to_owned(),
                merchant_account: Some(merchant.to_owned()),
                store: store.map(str::to_owned),
                boarded,
                boarding_code: code.map(str::to_owned),
                encryption_key: None,
                device_id: None,
            };
        let actions = |poi: &str, device: &str, boarded| TerminalEntry {
            kind: ACTIONS_TERMINAL.to_owned(),
            device_id: Some(device.to_owned()),
            ..terminal(poi, "DEMO_MERCHANT_EU", Some("STORE_AMS"), boarded, None)
        };
        let key = |name: &str| format!("tg_key_{name:x<43}");
        ReadyFile {
            base_url: "http://127.0.0.1:65535".to_owned(),
            tls_base_url: "https://127.0.0.1:65534".to_owned(),
            ca_file: "/tmp/tillgate-demo-XXXXXX/tls/ca.pem".into(),
            api_keys: ApiKeys {
                terminal_api: key("a"),
                cloud_device: key("b"),
                terminal_management: key("c"),
                management: key("c"),
                actions_desktop: key("f"),
                actions_desktop_secret: key("g"),
                actions_terminal: key("h"),
                other_merchant: key("d"),
                other_company: key("e"),
            },
            company_account: "DEMO_COMPANY".to_owned(),
            merchant_accounts: vec!["DEMO_MERCHANT_EU".to_owned()],
            stores: vec!["STORE_AMS".to_owned()],
            terminals: vec![
                terminal("V400m-324688179", "DEMO_MERCHANT_EU", Some("STORE_AMS"), true, None),
                terminal("S1F2-000158215131748", "DEMO_MERCHANT_EU", Some("STORE_PAR"), true, None),
                terminal(
                    "P400Plus-275008565",
                    "DEMO_MERCHANT_EU",
                    Some("STORE_PAR"),
                    false,
                    Some("7KQ2M-XR9TD"),
                ),
                terminal("AMS1-000168223606144", "DEMO_MERCHANT_US", None, false, None),
                actions("ACT1-000000001", "TERM-001", true),
                actions("ACT1-000000002", "TERM-002", false),
            ],
        }
    }

    fn screen(ready_file: Option<&Path>) -> String {
        let data = "temporary, removed at the end";
        render(&ready(), data, ready_file, Duration::from_millis(420), "target/release/tillgate").unwrap()
    }

    #[test]
    fn the_first_screen_fits_80_columns() {
        for screen in [screen(None), screen(Some(Path::new("demo.json")))] {
            for line in screen.lines() {
                assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
            }
        }
    }

    #[test]
    fn the_first_screen_names_everything() {
        let screen = screen(None);
        for part in [
            "http://127.0.0.1:65535",
            "https://127.0.0.1:65534",
            "/tls/ca.pem",
            "V400m-324688179",
            "code 7KQ2M-XR9TD",
            "in inventory",
            "TERM-001, connected",
            "TERM-002, free",
            "--dialect actions --key tg_key_h",
            "?x-api-key=",
            "Ctrl-C",
        ] {
            assert!(screen.contains(part), "{part} is not in\n{screen}");
        }
    }

    #[test]
    fn the_request_to_paste_is_valid_once_the_shell_has_filled_it_in() {
        let curl = curl("http://127.0.0.1:8080", "tg_key_x", "V400m-1");
        let (_, body) = curl.split_once("<<JSON\n").unwrap();
        let body = body.strip_suffix("\nJSON").unwrap();
        let body =
            body.replace("$(date +%s)", "1795166102").replace("$(date -u +%FT%TZ)", "2026-11-20T09:15:02Z");
        let request = nexo::Request::parse(body.into()).unwrap();
        assert_eq!(request.header().poi_id.as_str(), "V400m-1");
        request.payload::<nexo::PaymentRequest>().unwrap();
    }
}
