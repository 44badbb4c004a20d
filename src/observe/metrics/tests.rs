#![allow(clippy::unwrap_used)]
use super::*;

fn page(metrics: &Metrics, after: Duration, from: Instant) -> String {
    String::from_utf8(metrics.page(from + after).unwrap().to_vec()).unwrap()
}

fn has(page: &str, line: &str) {
    assert!(page.lines().any(|l| l == line), "{line} is not in:\n{page}");
}

#[test]
fn the_page_has_the_metrics_of_apisix_by_name() {
    let metrics = Metrics::new("apisix_").unwrap();
    metrics.traffic().connection_opened();
    metrics.traffic().connection_opened();
    metrics.traffic().request_began();
    metrics.configuration.revision.set(7);
    metrics.configuration.refused.inc();
    metrics.configuration.set_store_reachable(true);
    metrics.plugins.panicked("cors");
    let text = page(&metrics, Duration::ZERO, Instant::now());
    has(&text, "# TYPE apisix_http_requests_total gauge");
    has(&text, "apisix_http_requests_total 1");
    has(
        &text,
        "apisix_nginx_http_current_connections{state=\"accepted\"} 2",
    );
    has(
        &text,
        "apisix_nginx_http_current_connections{state=\"active\"} 2",
    );
    has(
        &text,
        "apisix_nginx_http_current_connections{state=\"writing\"} 1",
    );
    has(
        &text,
        "apisix_nginx_http_current_connections{state=\"waiting\"} 1",
    );
    has(&text, "apisix_config_revision 7");
    has(&text, "apisix_config_refused_total 1");
    has(&text, "apisix_config_store_reachable 1");
    has(&text, "apisix_etcd_reachable 1");
    has(&text, "apisix_plugin_panics_total{plugin=\"cors\"} 1");
    has(&text, "apisix_access_log_dropped_total 0");
    let node = format!(
        "apisix_node_info{{hostname=\"{}\",version=\"{}\"}} 1",
        host::hostname(),
        env!("CARGO_PKG_VERSION")
    );
    has(&text, &node);
}

#[test]
fn families_are_asked_at_each_scrape_and_the_last_of_equal_samples_counts() {
    let metrics = Metrics::new("").unwrap();
    let family = Family::UPSTREAM_STATUS;
    metrics
        .export(family, |samples| {
            samples.push(&["/apisix/routes/\"1\"", "127.0.0.1", "80"], 0.0);
            samples.push(&["/apisix/routes/\"1\"", "127.0.0.1", "80"], 1.0);
        })
        .unwrap();
    let text = page(&metrics, Duration::ZERO, Instant::now());
    has(
        &text,
        r#"upstream_status{name="/apisix/routes/\"1\"",ip="127.0.0.1",port="80"} 1"#,
    );
    assert_eq!(text.matches("upstream_status{").count(), 1);
    assert!(
        metrics.export(family, |_| {}).is_err(),
        "one family of a name"
    );
}

#[test]
fn a_family_without_samples_is_left_out() {
    let metrics = Metrics::new("").unwrap();
    let family = Family {
        name: "nothing",
        help: "h",
        kind: Kind::Counter,
        labels: &["a"],
    };
    metrics.export(family, |_| {}).unwrap();
    assert!(!page(&metrics, Duration::ZERO, Instant::now()).contains("nothing"));
}

#[test]
fn the_page_is_made_anew_only_after_a_while() {
    let metrics = Metrics::new("").unwrap();
    let start = Instant::now();
    has(
        &page(&metrics, Duration::ZERO, start),
        "http_requests_total 0",
    );
    metrics.traffic().request_began();
    has(
        &page(&metrics, Duration::from_millis(249), start),
        "http_requests_total 0",
    );
    has(
        &page(&metrics, Duration::from_millis(250), start),
        "http_requests_total 1",
    );
}

#[test]
fn a_prefix_that_makes_no_name_is_refused() {
    assert!(Metrics::new("a-b").is_err());
}

#[test]
fn what_plugins_register_is_on_the_page_under_its_own_name() {
    let metrics = Metrics::new("apisix_").unwrap();
    let counter = IntCounter::new("apisix_http_status", "h").unwrap();
    metrics
        .registry()
        .register(Box::new(counter.clone()))
        .unwrap();
    counter.inc();
    has(
        &page(&metrics, Duration::ZERO, Instant::now()),
        "apisix_http_status 1",
    );
}
