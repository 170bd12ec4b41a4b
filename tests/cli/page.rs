//! The page with all reports in a real Chromium: what it looks like is measured there, not guessed from its text.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use headwater_tests::project::{Project, server};
use serde_json::Value;

use super::Fact;

/// As small as windows get, and as wide as most.
const WIDTHS: [u32; 2] = [420, 1280];

/// Asks the browser how it laid the page out, and writes the answer into the page, which is then dumped.
const MEASURE: &str = r#"<script>
addEventListener("load", () => {
  const box = (it) => { const r = it.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const charts = [...document.querySelectorAll("svg[role=img]")].map((chart) => {
    const texts = [...chart.querySelectorAll("text")].map((it) => ({ text: it.textContent, box: box(it) }));
    const overlaps = (a, b) => Math.min(a[2], b[2]) - Math.max(a[0], b[0]) > 1 && Math.min(a[3], b[3]) - Math.max(a[1], b[1]) > 2;
    const [left, top, right, bottom] = box(chart);
    const name = chart.getAttribute("aria-labelledby").split(" ").map((id) => document.getElementById(id)?.textContent ?? "");
    return {
      name, width: right - left, height: bottom - top, marks: chart.querySelectorAll("rect,polyline").length,
      outside: texts.filter(({ box: b }) => b[0] < left - 1 || b[2] > right + 1 || b[1] < top - 1 || b[3] > bottom + 1).map((t) => t.text),
      overlapping: texts.flatMap((a, at) => texts.slice(at + 1).filter((b) => overlaps(a.box, b.box)).map((b) => [a.text, b.text])),
    };
  });
  const tables = [...document.querySelectorAll("table")].map((it) => ({
    caption: it.caption?.textContent ?? "", columns: it.querySelectorAll("thead th[scope=col]").length,
    rows: it.querySelectorAll("tbody tr").length, named: it.querySelectorAll("tbody th[scope=row]").length,
    ragged: [...it.querySelectorAll("tbody tr")].some((row) => row.cells.length !== it.querySelectorAll("thead th").length),
  }));
  const light = (colour) => {
    const parts = colour.match(/[\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [r, g, b] = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const contrast = (it, property) => {
    const ink = light(getComputedStyle(it)[property]);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
  };
  const measured = {
    title: document.title, lang: document.documentElement.lang, charts, tables,
    headings: [...document.querySelectorAll("h1,h2,h3")].map((it) => it.tagName),
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    answers: [...document.querySelectorAll(".answer")].map((it) => ({ bottom: box(it)[3], text: it.textContent })),
    faintest: Math.min(...[...document.querySelectorAll("p,td,th,caption,h1,h2,a")].map((it) => contrast(it, "color")),
      ...[...document.querySelectorAll("svg text")].map((it) => contrast(it, "fill"))),
    anchors: [...document.querySelectorAll("a[href^='#']")].every((it) => document.getElementById(it.hash.slice(1))),
  };
  const out = document.createElement("script");
  out.type = "application/json";
  out.id = "measured";
  out.textContent = JSON.stringify(measured).replaceAll("<", "\\u003c");
  document.body.append(out);
});
</script>"#;

mod live {
    use super::*;

    #[test]
    fn page_is_laid_out_so_that_it_can_be_read() -> Fact {
        let project = page()?;
        project.write("measured.html", &project.read("page.html")?.replace("</head>", &format!("{MEASURE}</head>")))?;
        for width in WIDTHS {
            let dumped = chromium(&project, &[&format!("--window-size={width},900"), "--dump-dom"], "measured.html")?;
            let found = measured(&String::from_utf8(dumped.stdout)?)?;
            assert!(found["title"].as_str().is_some_and(|title| title.len() > 10) && found["lang"] == "en", "{found}");
            let charts = found["charts"].as_array().ok_or("no charts")?;
            assert!(charts.len() >= 6, "{} charts", charts.len());
            for chart in charts {
                let name = &chart["name"];
                assert!(name.as_array().is_some_and(|name| name.len() == 2 && name.iter().all(|part| part != "")), "{name}");
                assert!(chart["width"].as_f64() > Some(200.0) && chart["height"].as_f64() > Some(20.0), "{chart}");
                assert!(chart["marks"].as_u64() > Some(0), "nothing is drawn: {name}");
                assert_eq!(chart["outside"], Value::Array(vec![]), "{width} wide, {name}: words stand outside");
                assert_eq!(chart["overlapping"], Value::Array(vec![]), "{width} wide, {name}: words lie on each other");
            }
            for table in found["tables"].as_array().ok_or("no tables")? {
                assert!(table["caption"] != "" && table["columns"].as_u64() > Some(1), "{table}");
                assert!(table["rows"] == table["named"] && table["ragged"] == false, "{table}");
            }
            assert_eq!(found["headings"][0], "H1");
            assert_eq!(found["sideways"], 0, "at {width} the page is wider than its window");
            assert!(found["faintest"].as_f64() >= Some(4.5), "words are too faint: {}", found["faintest"]);
            assert_eq!(found["anchors"], true);
            let answers = found["answers"].as_array().ok_or("no answers")?;
            assert_eq!(answers.len(), 3, "the three questions are answered");
            let on_first_screen = |answer: &Value| answer["bottom"].as_f64() < Some(900.0);
            assert!(width < 1000 || answers.iter().all(on_first_screen), "{answers:?}");
        }
        Ok(())
    }

    #[test]
    fn page_is_a_picture_and_a_print_and_asks_nothing_of_a_network() -> Fact {
        let project = page()?;
        project.write("blank.html", "<!doctype html><title>blank</title>")?;
        let picture = |page: &str| -> Result<u64, Box<dyn Error>> {
            let shot = project.path("shot.png");
            chromium(&project, &[&format!("--screenshot={}", shot.display()), "--window-size=1280,2400"], page)?;
            Ok(fs::metadata(shot)?.len())
        };
        let (blank, page) = (picture("blank.html")?, picture("page.html")?);
        assert!(page > 10 * blank, "the picture of the page has {page} bytes, that of a blank one {blank}");
        let (log, print) = (project.path("net.json"), project.path("page.pdf"));
        let printed = chromium(
            &project,
            &[&format!("--log-net-log={}", log.display()), &format!("--print-to-pdf={}", print.display())],
            "page.html",
        )?;
        let said = String::from_utf8_lossy(&printed.stderr).into_owned();
        assert!(!said.contains("CONSOLE"), "{said}");
        let print = fs::read(print)?;
        assert!(print.starts_with(b"%PDF") && print.len() > 20_000, "{} bytes of PDF", print.len());
        assert_eq!(requests(&fs::read_to_string(&log)?)?, Vec::<String>::new());
        // The same eyes see a page that does ask, and one that complains.
        project
            .write("asking.html", "<!doctype html><img src=\"http://127.0.0.1:9/x.png\"><script>console.error('oh')</script>")?;
        let asked = chromium(&project, &[&format!("--log-net-log={}", log.display()), "--dump-dom"], "asking.html")?;
        assert!(String::from_utf8_lossy(&asked.stderr).contains("CONSOLE"));
        assert_eq!(requests(&fs::read_to_string(&log)?)?, ["http://127.0.0.1:9/x.png"]);
        Ok(())
    }
}

fn page() -> Result<Project, Box<dyn Error>> {
    let project = Project::demo()?;
    project.run(&["sync"])?;
    project.run(&["report", "sources", "--html", "page.html"])?.done()?;
    Ok(project)
}

/// Opens a page of the project in a browser of its own.
fn chromium(project: &Project, args: &[&str], page: &str) -> Result<Output, Box<dyn Error>> {
    let profile = tempfile::tempdir()?;
    let output = Command::new(server("HEADWATER_TEST_CHROMIUM").trim())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"])
        .args(["--enable-logging=stderr", "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(args)
        .arg(format!("file://{}", absolute(&project.path(page))?))
        .output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output)
}

fn absolute(path: &Path) -> Result<String, Box<dyn Error>> {
    Ok(path.canonicalize()?.display().to_string())
}

/// What the page says of its layout.
fn measured(dom: &str) -> Result<Value, Box<dyn Error>> {
    let (_, rest) = dom.split_once("id=\"measured\">").ok_or("the page was not measured")?;
    Ok(serde_json::from_str(rest.split_once("</script>").ok_or("half a measure")?.0)?)
}

/// The addresses that the page asked for over a network, from the browser's log. What the browser wants for itself has no page as its
/// initiator.
fn requests(log: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let log: Value = serde_json::from_str(log)?;
    let events = log["events"].as_array().ok_or("no events")?;
    let of_page = events.iter().filter(|event| event["params"]["initiator"].as_str().is_some_and(|by| by != "not an origin"));
    let asked = of_page.filter_map(|event| event["params"]["url"].as_str()).filter(|url| url.starts_with("http"));
    let mut asked: Vec<String> = asked.map(str::to_owned).collect();
    asked.sort_unstable();
    asked.dedup();
    Ok(asked)
}
