//! `/metrics` in Prometheus' format, and the counts of requests themselves.

mod anchors;
mod chains;

use std::sync::{Arc, OnceLock};

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::Instant;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Shared;

const DURATION: &str = "http_request_duration_seconds";
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Histograms of the indexer, with their buckets.
const INDEXING: [(&str, &[f64]); 3] = [
    ("chancery_stage_seconds", BUCKETS),
    (
        "chancery_reorg_depth_blocks",
        &[1.0, 2.0, 3.0, 6.0, 12.0, 32.0, 64.0, 128.0],
    ),
    (
        "chancery_batch_logs",
        &[0.0, 1.0, 10.0, 100.0, 1e3, 3e3, 6e3, 1e4, 3e4, 1e5],
    ),
];

/// Everything that this process counts.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
    seen: Arc<chains::Seen>,
}

impl Metrics {
    /// Collects from now on; a process has one collector, however often this is called.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let named = INDEXING.into_iter().chain([(DURATION, BUCKETS)]);
            let builder = named.fold(PrometheusBuilder::new(), |builder, (name, buckets)| {
                builder
                    .set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
                    .unwrap_or_else(|_| PrometheusBuilder::new())
            });
            let recorder = builder.build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!(
                    "somebody else collects this process's metrics, /metrics stays empty"
                );
            }
            handle
        });
        Self {
            handle: handle.clone(),
            seen: Arc::default(),
        }
    }
}

/// The routes of this file.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Counters, gauges and histograms of this process.
#[utoipa::path(get, path = "/metrics", tag = "health", responses((status = OK, body = String)))]
async fn show(State(app): State<Shared>) -> impl IntoResponse {
    chains::measure(&app, &app.metrics.seen).await;
    anchors::measure(&app).await;
    app.metrics.handle.run_upkeep();
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        app.metrics.handle.render(),
    )
}

/// A request that is being answered, to be counted with its duration and status by its route.
pub struct Counted {
    labels: [(&'static str, String); 2],
    began: Instant,
}

impl Counted {
    /// It came in.
    pub fn begin(request: &Request) -> Self {
        let route = request
            .extensions()
            .get::<MatchedPath>()
            .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
        Self {
            labels: [("method", request.method().to_string()), ("route", route)],
            began: Instant::now(),
        }
    }

    /// It is answered.
    pub fn end(self, response: &Response) {
        metrics::histogram!(DURATION, &self.labels).record(self.began.elapsed().as_secs_f64());
        let [method, route] = self.labels;
        let status = ("status", response.status().as_u16().to_string());
        metrics::counter!("http_requests_total", &[method, route, status]).increment(1);
    }
}
