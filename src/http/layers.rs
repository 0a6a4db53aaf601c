//! What happens to every request on its way in and to every answer on its way out.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderName, HeaderValue, Method, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{Any as Everybody, CorsLayer},
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    trace::TraceLayer,
};

use super::{
    Code, Problem, Shared,
    changes::LAST_EVENT_ID,
    guard::{RATE_LIMIT, RATE_LIMIT_POLICY, guard},
    head,
    metrics::Counted,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps the routes; the first layer is the outermost. All go on at once: each time that a router is layered, every
/// request is cloned through one more box.
pub fn apply(router: Router<Shared>, app: &Shared) -> Router<Shared> {
    let trace = TraceLayer::new_for_http().make_span_with(|request: &Request| {
        let id = request_id(request).unwrap_or_default();
        tracing::info_span!("request", method = %request.method(), path = request.uri().path(), id)
    });
    let no_sniffing = SetResponseHeaderLayer::if_not_present(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let layers = ServiceBuilder::new()
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(no_sniffing)
        .layer(trace)
        .layer(from_fn_with_state(app.clone(), finish))
        .layer(cors())
        .layer(from_fn_with_state(app.clone(), guard))
        .layer(from_fn_with_state(app.clone(), timeout))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(app.config.http.body_limit_bytes));
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layers)
}

/// Every page may read; what a page of another origin would write, its browser refuses.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Everybody)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([
            header::ACCEPT,
            header::IF_NONE_MATCH,
            header::RANGE,
            LAST_EVENT_ID,
        ])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::RETRY_AFTER,
            head::CHANCERY_HEAD,
            RATE_LIMIT,
            RATE_LIMIT_POLICY,
            REQUEST_ID,
        ])
}

/// Questions that read or prove much, and how long they may take.
const LONG: [&str; 2] = ["/v1/sync/digest", "/v1/sync/verify"];
const LONG_LIMIT: Duration = Duration::from_mins(15);

async fn timeout(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let limit = if LONG.contains(&request.uri().path()) {
        LONG_LIMIT
    } else {
        Duration::from_secs(app.config.http.timeout_seconds)
    };
    tokio::time::timeout(limit, next.run(request))
        .await
        .unwrap_or_else(|_| {
            let detail = format!("no answer within {} s", limit.as_secs());
            Problem::new(Code::Timeout, detail).into_response()
        })
}

/// Counts a request, adds how far the chains were read, and to a problem what its handler does not know.
async fn finish(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let counted = Counted::begin(&request);
    let (id, path) = (request_id(&request), request.uri().path().to_owned());
    let mut response = complete(next.run(request).await, id, path);
    head::add(&app.heads.borrow(), &mut response);
    counted.end(&response);
    response
}

fn complete(mut response: Response, id: Option<String>, path: String) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    problem.instance = Some(path);
    problem.request_id = id;
    let (parts, _) = response.into_parts();
    let mut response = problem.into_response();
    for (name, value) in &parts.headers {
        if name != header::CONTENT_LENGTH {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

fn request_id(request: &Request) -> Option<String> {
    let id = request.extensions().get::<RequestId>()?;
    id.header_value().to_str().ok().map(str::to_owned)
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("there is nothing at {}", uri.path()),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("{} does not take {method}", uri.path()),
    )
}

#[expect(clippy::needless_pass_by_value, reason = "the layer calls it so")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Problem::of(
        kernel::Kind::Internal,
        format!("a handler panicked: {text}"),
    )
    .into_response()
}
