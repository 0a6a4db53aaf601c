//! The ways to prove who asks, as OpenAPI names them, and which of them the table of grants takes for a route.

use access::typed_request::SCHEME;
use utoipa::{
    Modify,
    openapi::{
        OpenApi,
        security::{
            ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
        },
    },
};

use crate::http::{
    grants::{Grant, Who},
    guard::{COOKIE, HALF},
};

const TOKEN: &str = "token";
const KEY: &str = "key";
/// A browser's session is a cookie and a header, so two schemes, which are required together.
const SESSION: &str = "session";
const SESSION_HALF: &str = "session-half";
/// RFC 9421 takes two headers: required together, too.
const SIGNATURE_INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";
const WALLET: &str = "wallet";

/// Describes them all in the document's components.
pub struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_default();
        for (name, scheme) in all() {
            components.add_security_scheme(name, scheme);
        }
    }
}

fn all() -> [(&'static str, SecurityScheme); 7] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "The operator's token, which stands in `<data-dir>/token`. An API key (`ains_...`) and a session's token \
             (`ases_...`) are taken as a bearer's, too.",
        ))
        .build();
    let header = |name: &str, description: String| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            name.to_owned(),
            description,
        )))
    };
    let session = ApiKeyValue::with_description(
        COOKIE,
        "A session of an Ethereum account (EIP-4361), which `POST /v1/sessions` begins: browsers get half of its token \
         in this cookie (over https `__Host-chancery_session`), others a bearer's token.",
    );
    let wallet = format!(
        "A signature of the request by an account's key or contract (EIP-712): `{SCHEME} account=\"0x...\", \
         chain=\"1\", nonce=\"<32 hex digits>\", issued=\"...\", expires=\"...\", signature=\"0x...\"`, of the struct \
         `Request(address account,string method,string target,bytes32 content,bytes16 nonce,uint64 issued,uint64 \
         expires)` in the domain `{{name: \"Chancery\", version: \"1\", chainId, salt: keccak256(web origin)}}`. \
         `target` is path and query as sent, `content` keccak-256 of the body; times are seconds since 1970, at most \
         300 apart."
    );
    [
        (TOKEN, SecurityScheme::Http(bearer)),
        (
            KEY,
            header(
                "X-API-Key",
                "An API key: `ains_` and 44 characters. A requirement names the scope that it needs.".to_owned(),
            ),
        ),
        (SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session))),
        (
            SESSION_HALF,
            header(
                HALF.as_str(),
                "The other half of a browser's session: `half` of the answer that began it.".to_owned(),
            ),
        ),
        (
            SIGNATURE_INPUT,
            header(
                "Signature-Input",
                "What an agent's Ed25519 key signed of the request (RFC 9421): `@method`, `@target-uri` (or \
                 `@authority`, `@path` and `@query`), and `content-digest` (RFC 9530, `sha-256`) where there is a \
                 body; with `created`, `expires` (at most 300 seconds later), `nonce` (8 to 64 characters, used once) \
                 and `keyid=\"did:key:z6Mk...\"`."
                    .to_owned(),
            ),
        ),
        (
            SIGNATURE,
            header(
                "Signature",
                "That key's signature (RFC 9421), with the label of `Signature-Input`.".to_owned(),
            ),
        ),
        (WALLET, header("Authorization", wallet)),
    ]
}

/// The ways that this line of the table takes, each enough by itself; none where nothing has to be proven. With a key
/// stands the scope that it needs.
pub fn of(grant: &Grant) -> Option<Vec<SecurityRequirement>> {
    const NOTHING: [&str; 0] = [];
    if grant.who == Who::Everybody {
        return None;
    }
    let mut ways = vec![SecurityRequirement::new(TOKEN, NOTHING)];
    let key = |scope: &'static str| SecurityRequirement::new(KEY, [scope]);
    ways.extend(grant.scope.map(key));
    if grant.who == Who::Proven {
        ways.push(SecurityRequirement::new(SESSION, NOTHING).add(SESSION_HALF, NOTHING));
        ways.push(SecurityRequirement::new(SIGNATURE_INPUT, NOTHING).add(SIGNATURE, NOTHING));
        ways.push(SecurityRequirement::new(WALLET, NOTHING));
    }
    Some(ways)
}
