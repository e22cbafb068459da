"""Files for Prometheus and Grafana: well-formed, true to the table of metrics, and alerts that fire when they should."""

import json
import re

import pytest

from surroundings import ROOT, document, run, succeed, tool

PROMETHEUS = ROOT / "conf/prometheus"
ALERTS = PROMETHEUS / "ticketd-alerts.yml"
DASHBOARD = json.loads((ROOT / "conf/grafana/ticketd.json").read_text(encoding="utf-8"))

# What Prometheus adds itself, and the metric that it makes of each scrape.
OWN_LABELS = {"job", "instance", "le", "alertname", "alertstate"}
OWN_METRICS = {"up": set(), "ALERTS": set()}


def table():
    """Each name that may be queried, and its labels."""
    known = dict(OWN_METRICS)
    for line in document("metrics-list").splitlines():
        name, kind, labels = line.split(" ")
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            known[name + suffix] = set(labels.split(",")) - {""}
    return known


def check_expression(expression, known):
    """Every metric in it is in the table, and so is every label by which it selects or groups."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    grouping = r"\b(?:by|on)\s*\(([^)]*)\)"
    used = set(re.findall(r"\b(?:(?:ticketd|http|process)_\w+|up|ALERTS)\b", re.sub(r"\{[^}]*\}", "", re.sub(grouping, "", bare))))
    assert used and used <= set(known), f"{used - set(known)} in {expression}"
    for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", bare):
        for label in re.findall(r"(\w+)\s*[=!]", matchers):
            assert label in known[name] | OWN_LABELS, f"{name} has no {label}: {expression}"
    grouped = {label.strip() for labels in re.findall(grouping, bare) for label in labels.split(",")}
    assert grouped <= set().union(*(known[name] for name in used)) | OWN_LABELS, expression


def rules():
    """Each alert's fields, as far as these files write them."""
    found = {}
    for block in ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]:
        name, rest = block.split("\n", 1)
        expression = re.search(r"^        expr: (?:>-\n)?(.*?)(?=^        \w+:)", rest, re.MULTILINE | re.DOTALL)[1]
        found[name] = {
            "expr": " ".join(expression.split()),
            "severity": re.search(r"severity: (\w+)", rest)[1],
            **{field: " ".join(re.search(rf"^          {field}: (?:>-\n)?(.*?)(?=^          \w+:|\Z)", rest,
                                         re.MULTILINE | re.DOTALL)[1].split())
               for field in ("summary", "description", "runbook")},
        }
    return found


def queries():
    """Each query of the dashboard, with Grafana's variables replaced; and what it belongs to."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], plain(target["expr"])
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], plain(annotation["expr"])


def plain(expression):
    return re.sub(r"\$\w+", "x", expression.replace("$__rate_interval", "5m"))


# promtool takes the configuration of either mode, and the alerts that both load.
@pytest.mark.parametrize("mode", ["monolith", "microservices"])
def test_configuration(mode):
    shown = succeed(tool("promtool"), "check", "config", PROMETHEUS / f"{mode}.yml")
    assert re.search(r"SUCCESS: [1-9]\d* rules found", shown), shown
    # 2.42's only says so on standard output
    assert "FAILED" not in shown


# Each alert fires when it should, not before its time, and not on a healthy instance beside it.
def test_alerts():
    succeed(tool("promtool"), "test", "rules", ROOT / "tests/documents/alerts.yml")


# No alert is without such a test.
def test_alerts_are_all_tested():
    tested = set(re.findall(r"alertname=\"(\w+)\"", (ROOT / "tests/documents/alerts.yml").read_text(encoding="utf-8")))
    assert tested == set(rules())
    assert len(tested) >= 13


# Each alert says what is wrong and what to do, and points to a section of README.md that there is.
@pytest.mark.parametrize("name", list(rules()))
def test_alerts_help(name):
    rule = rules()[name]
    headings = re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert rule["severity"] in ("critical", "warning", "info")
    assert rule["summary"] and len(rule["description"]) > 60
    page, anchor = rule["runbook"].split("#")
    assert page == "README.md" and anchor in anchors, rule["runbook"]


# Alerts and dashboard ask for metrics and labels of the table only.
def test_names():
    known = table()
    assert "ticketd_sales_total" in known and "http_server_request_duration_seconds_bucket" in known
    asked = [rule["expr"] for rule in rules().values()] + [expression for _, expression in queries()]
    assert len(asked) > 50
    for expression in asked:
        check_expression(expression, known)
    for variable in DASHBOARD["templating"]["list"]:
        for name in re.findall(r"label_values\((\w+)", variable["query"]):
            assert name in known, variable["query"]


# Nothing of the table is left out of the dashboard.
def test_dashboard_shows_everything():
    shown = " ".join(expression for _, expression in queries())
    families = {line.split(" ")[0] for line in document("metrics-list").splitlines()}
    assert not {name for name in families if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", shown)}


# Prometheus parses every query of the dashboard: each is made a rule, and promtool looks at them.
def test_dashboard_queries(tmp_path):
    listed = [{"record": f"dashboard:query{number}", "expr": expression, "labels": {"panel": title}}
              for number, (title, expression) in enumerate(queries())]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": listed}]}))
    shown = succeed(tool("promtool"), "check", "rules", tmp_path / "rules.yml")
    assert f"{len(listed)} rules found" in shown
    broken = [{**listed[0], "expr": listed[0]["expr"] + ")"}]
    (tmp_path / "broken.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": broken}]}))
    assert run(tool("promtool"), "check", "rules", tmp_path / "broken.yml").returncode != 0


# The dashboard is one that Grafana can import: ids are unique, panels lie side by side within 24
# columns, each says what it shows, and all ask the data source that the reader chooses.
def test_dashboard_form():
    assert DASHBOARD["uid"] == "ticketd" and DASHBOARD["schemaVersion"] >= 36
    panels, places = DASHBOARD["panels"], set()
    assert len({panel["id"] for panel in panels}) == len(panels)
    source = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & places, panel["title"]
        places |= cells
        if panel["type"] == "row":
            continue
        assert panel["type"] in ("stat", "timeseries", "heatmap", "table")
        assert panel["title"] and panel["description"].endswith(".") and panel["datasource"] == source
        assert panel["targets"] and all(target["datasource"] == source for target in panel["targets"])
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "event"]
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$(?:\{(\w+)\}|(\w+))", text)) <= \
        {("datasource", ""), ("", "job"), ("", "instance"), ("", "event"), ("", "__rate_interval"), ("", "__all")}
