//! The list as a whole.

use super::registry;

#[test]
fn priorities_are_those_that_apisix_users_know() {
    let registry = registry().unwrap();
    let known = [
        ("acl", 2410),
        ("api-breaker", 1005),
        ("attach-consumer-label", 2399),
        ("basic-auth", 2520),
        ("client-control", 22000),
        ("consumer-restriction", 2400),
        ("cors", 4000),
        ("csrf", 2980),
        ("data-mask", 1500),
        ("echo", 412),
        ("error-page", 450),
        ("exit-transformer", 22950),
        ("graphql-limit-count", 1004),
        ("graphql-proxy-cache", 1009),
        ("ip-restriction", 3000),
        ("jwt-auth", 2510),
        ("key-auth", 2500),
        ("mocking", 10900),
        ("prometheus", 500),
        ("proxy-control", 21990),
        ("real-ip", 23000),
        ("referer-restriction", 2990),
        ("request-id", 12015),
        ("request-validation", 2800),
        ("traffic-label", 967),
        ("ua-restriction", 2999),
        ("uri-blocker", 2900),
        ("workflow", 1006),
    ];
    for (name, priority) in known {
        assert_eq!(registry.get(name).unwrap().priority, priority, "{name}");
    }
}

#[test]
fn every_schema_is_a_schema_and_refuses_unknown_fields() {
    for definition in registry().unwrap().iter() {
        let schemas = [
            Some(definition.schema()),
            definition.credential_schema(),
            definition.metadata_schema(),
        ];
        for schema in schemas.into_iter().flatten() {
            assert!(
                crossway_sdk::schema::Schema::new(schema.clone())
                    .check(&serde_json::json!({"no such field": 1}))
                    .is_err(),
                "{}: {schema}",
                definition.name
            );
        }
    }
}
