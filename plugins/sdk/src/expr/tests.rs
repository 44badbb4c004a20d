//! The expression language, operator by operator.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::{Expression, Lookup, Value, Variable, Verdict};

/// On sixty `a` and a `!` this tries two ways at each letter.
const EXHAUSTING: &str = "^(?:(?=a)a|a)+$";

/// A request with values of every kind.
struct Request;

impl Lookup for Request {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        Some(match variable.to_string().as_str() {
            "arg_name" => Value::text("Json"),
            "arg_age" => Value::text("20"),
            "arg_hex" => Value::text("0x14"),
            "arg_bytes" => Value::text(b"a\xffb"),
            "arg_flag" => Value::Boolean(true),
            "arg_evil" => Value::Bytes([&[b'a'; 60][..], b"!"].concat().into()),
            "remote_addr" => Value::text("10.1.2.3"),
            "status" => Value::Integer(200),
            "post_arg.n" => Value::Number(3.0),
            "post_arg.tags[*]" => Value::List(vec![Value::text("a"), Value::Number(1.0)]),
            _ => return None,
        })
    }
}

fn matches(vars: Json) -> bool {
    Expression::parse(&vars).unwrap().matches(&Request)
}

fn error(vars: Json) -> String {
    Expression::parse(&vars).unwrap_err().to_string()
}

/// One condition, as it stands; its negation by `!` must say the opposite.
fn holds(variable: &str, operator: &str, right: Json) -> bool {
    let plain = matches(json!([[variable, operator, right]]));
    let negated = matches(json!([[variable, "!", operator, right]]));
    assert_ne!(plain, negated, "{variable} {operator} {right}");
    plain
}

#[test]
fn equality_is_strict_unless_the_right_side_is_a_number() {
    assert!(holds("arg_name", "==", json!("Json")));
    assert!(!holds("arg_name", "==", json!("json")));
    assert!(holds("arg_age", "==", json!("20")));
    assert!(holds("arg_age", "==", json!(20)));
    assert!(holds("arg_hex", "==", json!(20)));
    assert!(!holds("arg_name", "==", json!(20)));
    assert!(holds("arg_name", "~=", json!(20)));
    assert!(!holds("arg_age", "~=", json!(20)));
    assert!(holds("status", "==", json!("200")));
    assert!(holds("status", "==", json!(200)));
    assert!(holds("post_arg.n", "==", json!(3)));
    assert!(!holds("post_arg.n", "==", json!("3")));
    assert!(holds("arg_flag", "==", json!(true)));
    assert!(!holds("arg_flag", "==", json!("true")));
}

#[test]
fn null_stands_for_absent() {
    assert!(holds("arg_none", "==", json!(null)));
    assert!(!holds("arg_name", "==", json!(null)));
    assert!(holds("arg_name", "~=", json!(null)));
    assert!(!holds("arg_none", "==", json!("")));
    assert!(holds("arg_none", "~=", json!("x")));
    assert!(holds("arg_none", "~=", json!(1)));
    assert!(matches(json!([["arg_none", "=="]])));
    assert!(matches(json!([["arg_name", "~="]])));
}

#[test]
fn order_is_numeric_and_false_for_what_is_no_number() {
    assert!(holds("arg_age", ">", json!(19)));
    assert!(!holds("arg_age", ">", json!(20)));
    assert!(holds("arg_age", ">=", json!("20")));
    assert!(holds("arg_age", "<", json!(20.5)));
    assert!(holds("arg_age", "<=", json!(20)));
    assert!(!holds("arg_name", "<", json!(1000)));
    assert!(!holds("arg_none", "<", json!(1000)));
}

#[test]
fn patterns_search() {
    assert!(holds("arg_name", "~~", json!("so")));
    assert!(!holds("arg_name", "~~", json!("^so")));
    assert!(!holds("arg_name", "~~", json!("json")));
    assert!(holds("arg_name", "~*", json!("^json$")));
    assert!(holds("arg_bytes", "~~", json!("^a.b$")));
    assert!(!holds("arg_none", "~~", json!(".*")));
    assert!(holds("arg_name", "~~", json!("^(?!Xml)")));
    assert!(holds("arg_age", "~~", json!(2)));
}

#[test]
fn a_search_that_gives_up_lets_nobody_through() {
    for vars in [
        json!([["arg_evil", "~~", EXHAUSTING]]),
        json!([["arg_evil", "!", "~~", EXHAUSTING]]),
        json!([
            "!AND",
            ["arg_evil", "~~", EXHAUSTING],
            ["arg_age", "==", "20"]
        ]),
    ] {
        let expression = Expression::parse(&vars).unwrap();
        assert_eq!(
            expression.decide(&Request, true),
            Verdict::Undecided,
            "{vars}"
        );
        assert!(!expression.matches(&Request));
    }
    assert!(matches(json!([
        "OR",
        ["arg_evil", "~~", EXHAUSTING],
        ["arg_age", "==", "20"]
    ])));
}

#[test]
fn membership() {
    assert!(holds("arg_name", "in", json!(["z", "Json", "a"])));
    assert!(!holds("arg_name", "in", json!(["json"])));
    assert!(!holds("arg_name", "in", json!([])));
    assert!(
        !holds("arg_age", "in", json!([20])),
        "text is no number here, as in APISIX"
    );
    assert!(holds("post_arg.n", "in", json!([1, 3])));
    assert!(!holds("arg_none", "in", json!(["x"])));
    assert!(holds("post_arg.tags[*]", "has", json!("a")));
    assert!(holds("post_arg.tags[*]", "has", json!(1)));
    assert!(!holds("post_arg.tags[*]", "has", json!("1")));
    assert!(!holds("arg_name", "has", json!("Json")));
}

#[test]
fn networks() {
    assert!(holds(
        "remote_addr",
        "ipmatch",
        json!(["192.168.0.0/16", "10.0.0.0/8"])
    ));
    assert!(!holds(
        "remote_addr",
        "ipmatch",
        json!(["192.168.0.0/16", "::/0"])
    ));
    assert!(holds("remote_addr", "ipMatch", json!("10.1.2.3")));
    assert!(!holds("arg_name", "ipmatch", json!(["0.0.0.0/0"])));
}

#[test]
fn conditions_nest() {
    let yes = json!(["arg_name", "==", "Json"]);
    let no = json!(["arg_name", "==", "Xml"]);
    assert!(matches(json!([])));
    assert!(matches(json!([yes])));
    assert!(!matches(json!([yes, no])));
    assert!(matches(json!([["or", yes, no]])));
    assert!(matches(json!(["OR", no, yes])));
    assert!(!matches(json!(["!OR", no, yes])));
    assert!(matches(json!(["!OR", no, no])));
    assert!(matches(json!(["!AND", no, yes])));
    assert!(!matches(json!(["!AND", yes, yes])));
    assert!(matches(json!(["AND", yes, ["OR", no, ["!AND", yes, no]]])));
    assert!(matches(json!([[yes, yes], yes])));
    assert!(!matches(json!([[yes, no], yes])));
}

#[test]
fn the_short_form_keeps_the_case_of_the_value() {
    assert!(matches(json!([["arg_name", "Json"]])));
    assert!(!matches(json!([["arg_name", "json"]])));
    assert!(matches(json!([["arg_age", 20]])));
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_place() {
    for (vars, expected) in [
        (
            json!({}),
            "at $: expected a list of conditions, found an object",
        ),
        (
            json!(["arg_a", "==", "b"]),
            "at $: expected a list of conditions, such as",
        ),
        (
            json!([["arg_a", "=>", "b"]]),
            "at $[0][1]: expected one of the operators",
        ),
        (
            json!([["arg_a", "=>", "b"]]),
            "found the unknown operator \"=>\"",
        ),
        (
            json!([["arg_a", "!", "b"]]),
            "found the unknown operator \"!\"",
        ),
        (
            json!([["urii", "==", "b"]]),
            "at $[0][0]: expected a known variable, found unknown variable `urii`",
        ),
        (
            json!([["arg_a", "==", "b"], []]),
            "at $[1]: expected a condition, found an empty list",
        ),
        (
            json!([["arg_a", ">", "b"]]),
            "at $[0][2]: expected a number after \">\", found \"b\"",
        ),
        (
            json!([["arg_a", "in", "b"]]),
            "at $[0][2]: expected a list after \"in\"",
        ),
        (
            json!([["arg_a", "in", [[]]]]),
            "at $[0][2][0]: expected a string",
        ),
        (
            json!([["arg_a", "in"]]),
            "at $[0]: expected a value after the operator \"in\"",
        ),
        (
            json!([["arg_a", "==", {}]]),
            "at $[0][2]: expected a string, a number, true, false or null",
        ),
        (
            json!([["arg_a", "~~", "("]]),
            "at $[0][2]: expected a regular expression",
        ),
        (
            json!([["arg_a", "ipmatch", ["1.2.3.4/99"]]]),
            "`1.2.3.4/99` is not an IP address",
        ),
        (
            json!([["arg_a", "not", "==", "b"]]),
            "at $[0][1]: expected \"!\" before the operator",
        ),
        (
            json!([["arg_a", "==", "b", "c", "d"]]),
            "at $[0]: expected two, three or four elements, found 5",
        ),
        (
            json!([["arg_a"]]),
            "at $[0]: expected two, three or four elements, found 1",
        ),
        (
            json!(["OR", ["arg_a", "==", "b"]]),
            "at $: expected at least two conditions after \"OR\"",
        ),
        (
            json!(["OR", ["arg_a", "==", "b"], 3]),
            "at $[2]: expected a condition (a list), found 3",
        ),
        (json!([[3, "==", "b"]]), "at $[0][0]: expected a variable"),
    ] {
        let message = error(vars.clone());
        assert!(message.contains(expected), "{vars}: {message}");
    }
}

#[test]
fn nesting_has_a_limit() {
    let mut vars = json!(["arg_a", "==", "b"]);
    for _ in 0..40 {
        vars = json!([vars]);
    }
    assert!(error(vars).contains("levels"));
}

#[test]
fn the_body_is_asked_for_only_when_it_decides() {
    let decide = |vars: Json| Expression::parse(&vars).unwrap().decide(&Request, false);
    let body = json!(["post_arg.n", "==", 3]);
    let yes = json!(["arg_age", "==", 20]);
    let no = json!(["arg_age", "==", 21]);
    assert_eq!(decide(json!([body])), Verdict::NeedsBody);
    assert_eq!(decide(json!([body, yes])), Verdict::NeedsBody);
    assert_eq!(decide(json!([body, no])), Verdict::No);
    assert_eq!(decide(json!(["OR", body, no])), Verdict::NeedsBody);
    assert_eq!(decide(json!(["OR", body, yes])), Verdict::Yes);
    assert_eq!(decide(json!(["!OR", body, yes])), Verdict::No);
    let needs_body = |vars: Json| Expression::parse(&vars).unwrap().needs_body();
    assert!(needs_body(json!(["OR", yes, ["!AND", yes, body]])));
    assert!(!needs_body(json!([yes, no])));
}

#[test]
fn the_first_failing_condition_is_explained() {
    let explain = |vars: Json| Expression::parse(&vars).unwrap().explain(&Request);
    assert_eq!(explain(json!([["arg_age", ">", 18]])), None);
    assert_eq!(
        explain(json!([["arg_age", ">", 18], ["arg_name", "==", "Xml"]])).unwrap(),
        "`arg_name == \"Xml\"` does not hold: it is \"Json\""
    );
    assert_eq!(
        explain(json!([["arg_none", "!", "==", null]])).unwrap(),
        "`arg_none ! == null` does not hold: it is absent"
    );
    assert_eq!(
        explain(json!([[
            "OR",
            ["arg_age", "in", ["1", "2"]],
            ["remote_addr", "ipmatch", ["::1"]]
        ]]))
        .unwrap(),
        "none of the alternatives holds: (arg_age in [\"1\", \"2\"] or remote_addr ipmatch [::1])"
    );
}

#[test]
fn a_table_answers_by_name() {
    let table = HashMap::from([("http_x_id".to_owned(), "7".to_owned())]);
    let expression = Expression::parse(&json!([["http_X-Id", "==", 7]])).unwrap();
    assert!(expression.matches(&table));
    assert!(!expression.matches(&HashMap::<String, String>::new()));
}
