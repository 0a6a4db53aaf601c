//! Layers over each other.

use super::*;

fn from(variables: &[(&str, &str)], flags: &[Flag]) -> Result<Gathered, Error> {
    gather(&Environment::of(variables), None, flags)
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_defaults() {
    let variables = [
        ("CHANCERY__HTTP__LISTEN", "127.0.0.1:1"),
        ("CHANCERY__DATABASE__MIN_IDLE", "7"),
    ];
    let gathered = from(&variables, &[Flag::new("http.listen", "127.0.0.1:2")]).unwrap();
    assert_eq!(gathered.config.http.listen.port(), 2);
    assert_eq!(gathered.origin("http.listen"), "flags");
    assert_eq!(gathered.config.database.pool.min_idle, 7);
    assert_eq!(gathered.origin("database.min_idle"), "the environment");
    assert_eq!(gathered.config.database.pool.max_connections, 20);
}

#[test]
fn an_unknown_key_is_named_with_its_nearest_neighbour() {
    let error = from(&[("CHANCERY__DATABASE__MAX_CONECTIONS", "7")], &[])
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        "unknown key `database.max_conections` in the variable \
         CHANCERY__DATABASE__MAX_CONECTIONS; did you mean `database.max_connections`?"
    );
}

#[test]
fn a_wrong_type_names_the_key() {
    let error = from(&[("CHANCERY__DATABASE__MIN_IDLE", "many")], &[])
        .err()
        .unwrap();
    assert!(error.to_string().contains("database.min_idle"), "{error}");
}

#[test]
fn a_secret_comes_from_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "postgres://a:b@c/d\n").unwrap();
    let path = file.path().to_str().unwrap();
    let gathered = from(&[("CHANCERY__DATABASE__URL_FILE", path)], &[]).unwrap();
    assert_eq!(
        gathered.config.database.url.as_deref(),
        Some("postgres://a:b@c/d")
    );
    let both = [
        ("CHANCERY__DATABASE__URL_FILE", path),
        ("CHANCERY__DATABASE__URL", "postgres://x"),
    ];
    assert!(matches!(from(&both, &[]), Err(Error::Twice { .. })));
}

#[test]
fn database_url_is_read_and_our_own_variable_wins() {
    let plain = from(&[("DATABASE_URL", "postgres://plain/x")], &[]).unwrap();
    assert_eq!(
        plain.config.database.url.as_deref(),
        Some("postgres://plain/x")
    );
    let both = [
        ("DATABASE_URL", "postgres://plain/x"),
        ("CHANCERY__DATABASE__URL", "postgres://own/x"),
    ];
    assert_eq!(
        from(&both, &[]).unwrap().config.database.url.as_deref(),
        Some("postgres://own/x")
    );
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    fn leaves(prefix: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Dict(_, inner) if !FREE.contains(&prefix) => {
                for (name, value) in inner {
                    let key = if prefix.is_empty() {
                        name.clone()
                    } else {
                        format!("{prefix}.{name}")
                    };
                    leaves(&key, value, into);
                }
            }
            _ => into.push(prefix.to_owned()),
        }
    }
    let mut found = Vec::new();
    leaves(
        "",
        &Value::serialize(Config::default()).unwrap(),
        &mut found,
    );
    let mut documented: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    found.sort();
    documented.sort();
    assert_eq!(found, documented);
}
