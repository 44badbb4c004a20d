use super::*;
use serde_json::{Value, json};
use std::collections::HashMap;

fn rendered(template: &str, data: &Value) -> Result<String, String> {
    let variables: HashMap<String, String> = [
        ("http_user_agent", "lua/1.0"),
        ("arg_name", "hello"),
        ("status", "200"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let template = Template::parse(template).map_err(|e| format!("refused: {e}"))?;
    let scope = Scope {
        data,
        body: Some(b"<raw>"),
        variables: &variables,
    };
    let out = template.render(&scope).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

fn gives(template: &str, data: &Value, expected: &str) {
    assert_eq!(
        rendered(template, data).as_deref(),
        Ok(expected),
        "{template}"
    );
}

#[test]
fn outputs_are_escaped_for_html_or_not() {
    let data = json!({ "a": "<b>&'\"/", "n": 20, "f": 1.5, "big": 12_345_678_901_234_567_i64, "t": true, "none": null });
    gives(
        "{{a}}|{*a*}",
        &data,
        "&lt;b&gt;&amp;&#39;&quot;&#47;|<b>&'\"/",
    );
    gives(
        "{{ n }} {{f}} {{big}} {{t}}",
        &data,
        "20 1.5 12345678901234567 true",
    );
    gives("[{{missing}}{*none*}]", &data, "[]");
    gives("{*_body*} {{_body}}", &data, "<raw> &lt;raw&gt;");
    gives(
        "{*_ctx.var.http_user_agent*} {{_ctx.var[\"arg_name\"]}}{{_ctx.var.http_x}}",
        &data,
        "lua/1.0 hello",
    );
    gives("a{# not this #}b\\{{n}}c", &data, "ab{{n}}c");
    gives("{-raw-}{{n}}{% if %}{-raw-}{{n}}", &data, "{{n}}{% if %}20");
    gives("{\"x\": {\"y\": [{{n}}]}}", &data, "{\"x\": {\"y\": [20]}}");
    gives("{ {% %}{", &data, "{ {");
}

#[test]
fn expressions_mean_what_they_mean_in_lua() {
    let data = json!({ "name": "hello", "age": 20, "text": "7", "zero": 0, "empty": "", "list": ["a", "b"], "o": { "k-x": 1 }, "no": false });
    for (expression, expected) in [
        (r#"name .. " world""#, "hello world"),
        ("age+10", "30"),
        ("age / 8", "2.5"),
        ("text * 2 + 1", "15"),
        ("2 * (3 + 4) % 5", "4"),
        ("-age .. '!'", "-20!"),
        ("1 .. 2", "12"),
        ("10 / 3", "3.3333333333333"),
        ("1e3", "refused"),
        ("list[1] .. list[2]", "ab"),
        ("list[3]", ""),
        ("#list .. #name", "25"),
        ("o['k-x']", "1"),
        ("zero and 'true' or 'false'", "true"),
        ("empty and 'true' or 'false'", "true"),
        ("no or 'other'", "other"),
        ("missing and missing.a", ""),
        ("not missing", "true"),
        ("age == 20 and name ~= 'x'", "true"),
        ("text == 7", "false"),
        ("age >= 20 and 'a' < 'b'", "true"),
        ("'a\\\"\\n'..\"'\"", "a\"\n'"),
        ("name:upper()", "HELLO"),
        ("string.sub(name, 2, -2) .. name:len()", "ell5"),
        (
            "string.sub(name, 4, 100) .. name:sub(9) .. name:sub(-2)",
            "lolo",
        ),
        ("table.concat(list, '-')", "a-b"),
        (
            "tonumber('0x10') .. tostring(no) .. type(list)",
            "16falsetable",
        ),
        ("math.floor(7 / 2)", "3"),
    ] {
        let got = rendered(&format!("{{*{expression}*}}"), &data);
        match expected {
            "refused" => assert!(got.is_err(), "{expression}: {got:?}"),
            expected => assert_eq!(got.as_deref(), Ok(expected), "{expression}"),
        }
    }
}

#[test]
fn values_are_written_for_the_format_that_they_go_into() {
    let data = json!({ "s": "a/\"b\"\n\u{1}<é>", "o": { "list": [1, 2.5, null], "t": true } });
    gives(
        "{*_escape_json(s)*}",
        &data,
        "\"a\\/\\\"b\\\"\\n\\u0001<é>\"",
    );
    gives(
        "{*_escape_json(o)*}",
        &data,
        r#"{"list":[1,2.5,null],"t":true}"#,
    );
    gives("{*_escape_json(missing)*}", &data, "null");
    gives(
        "{*_escape_xml(s)*}",
        &json!({ "s": "<a b='c'>&\"" }),
        "&lt;a b=&apos;c&apos;&gt;&amp;&quot;",
    );
    // As in APISIX, where `{{ }}` escapes once more.
    gives("{{_escape_xml(s)}}", &json!({ "s": "<" }), "&amp;lt;");
    gives("{*_escape_xml(n)*}", &json!({ "n": 5 }), "5");
}

#[test]
fn conditions_and_loops_choose_and_repeat() {
    let data = json!({ "items": [{ "n": 1 }, { "n": 2 }, { "n": 3 }], "map": { "a": 1, "b": 2 } });
    gives(
        "{% for i, item in ipairs(items) do %}{{i}}={{item.n}}{% if i < #items then %},{% end %}{% end %}",
        &data,
        "1=1,2=2,3=3",
    );
    gives(
        "{% for k, v in pairs(map) do %}{{k}}{{v}};{% end %}",
        &data,
        "a1;b2;",
    );
    gives(
        "{% for i = 1, #items do %}{{items[i].n}}{% end %}",
        &data,
        "123",
    );
    gives(
        "{% for i = 3, 1, -1 do local x = i * 2 %}{{x}} {% end %}{{x}}",
        &data,
        "6 4 2 ",
    );
    gives(
        "{% if map.c then %}c{% elseif map.b == 2 then %}b{% else %}none{% end %}\n",
        &data,
        "b",
    );
    gives(
        "{% if not map.a then %}\nx\n{% else %}\ny\n{% end %}\nz",
        &data,
        "y\nz",
    );
}

#[test]
fn what_goes_wrong_over_a_body_says_why() {
    let data = json!({ "name": "x", "list": [1] });
    for (template, why) in [
        ("{{a.b.c}}", "attempt to index a nil value (global 'a')"),
        (
            "{{name.first.second}}",
            "attempt to index a string value (global 'name')",
        ),
        (
            "{{name + 1}}",
            "attempt to perform arithmetic on a string value",
        ),
        ("{{name .. missing}}", "attempt to concatenate a nil value"),
        (
            "{{name < 1}}",
            "attempt to compare a string with a number value",
        ),
        ("{{list}}", "a table cannot be written as text"),
        ("{{#missing}}", "attempt to get length of a nil value"),
        (
            "{% for _, v in ipairs(name) do %}{% end %}",
            "bad argument to a loop: expected a table, got a string value",
        ),
        (
            "{*_escape_xml(list)*}",
            "bad argument to _escape_xml: expected a string, got a table value",
        ),
        (
            "{% for i = 1, 100000000 do %}{% end %}",
            "the template writes too much or runs too long",
        ),
        (
            "{% for i = 1, 2, 0 do %}{% end %}",
            "the template writes too much or runs too long",
        ),
    ] {
        // A step of zero never ends, as in Lua, unless the limit is reached before it begins.
        let got = rendered(template, &data);
        if template.contains("2, 0") {
            assert!(
                got == Ok(String::new()) || got == Err(why.to_owned()),
                "{got:?}"
            );
            continue;
        }
        assert_eq!(got, Err(why.to_owned()), "{template}");
    }
}

#[test]
fn what_is_not_supported_is_refused_with_its_reason() {
    for (template, why) in [
        ("{{name()}}", "the function name is not supported"),
        ("{{a.b()}}", "a value of the body cannot be called"),
        ("{{os.time()}}", "a value of the body cannot be called"),
        (
            "{{string.format('%d', 1)}}",
            "the function string.format is not supported",
        ),
        (
            "{{name:gsub('a', 'b')}}",
            "the function string.gsub is not supported",
        ),
        ("{{_ctx.headers}}", "only _ctx.var.<name> is supported"),
        ("{{_ctx.var.no_such_variable}}", "_ctx.var.no_such_variable"),
        ("{{_multipart:get('a')}}", "_multipart is not supported"),
        (
            "{% while true do %}{% end %}",
            "\"while\" is not supported as a statement",
        ),
        ("{% x = 1 %}", "\"x\" is not supported as a statement"),
        ("{% local function f() end %}", "expected =, found"),
        ("{{function() end}}", "functions cannot be defined"),
        (
            "{% for x in next, y do %}{% end %}",
            "a loop over next is not supported",
        ),
        ("{% if a then %}", "an if without its end"),
        ("{% for _, v in pairs(a) do %}", "a for without its end"),
        ("{% end %}", "\"end\" without a beginning"),
        (
            "{% if a then %}{% else %}{% else %}{% end %}",
            "\"else\" in the wrong place",
        ),
        ("{{}}", "expected a value, found the end of a tag"),
        ("{{a b}}", "expected the end of the tag, found \"b\""),
        ("{{a.}}", "expected a name"),
        ("{{'a}}", "an unfinished string"),
        ("{{a ? b}}", "'?' is not understood"),
        (
            "{(header.html)}",
            "the inclusion {(header.html)} is not supported",
        ),
        ("{[name]}", "the inclusion {[name]} is not supported"),
        (
            "{-aside-}x{-aside-}",
            "the block {-aside-} is not supported",
        ),
    ] {
        let refused = Template::parse(template).err().map(|e| e.to_string());
        assert!(
            refused.as_ref().is_some_and(|e| e.contains(why)),
            "{template}: {refused:?}"
        );
    }
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(5000), ")".repeat(5000));
    let refused = Template::parse(&deep).unwrap_err();
    assert_eq!(refused.to_string(), "the template is nested too deeply");
    let deep = "{% if a then %}".repeat(5000);
    assert!(Template::parse(&deep).is_err());
    for long in [
        format!("{{{{1{}}}}}", "+1".repeat(5000)),
        format!("{{{{a{}}}}}", " or a".repeat(5000)),
        format!("{{{{a{}}}}}", "..a".repeat(5000)),
        format!("{{{{a{}}}}}", ".a".repeat(5000)),
        format!("{{{{{} a}}}}", "not ".repeat(5000)),
    ] {
        assert!(Template::parse(&long).is_err());
    }
    gives(&format!("{{{{1{}}}}}", "+1".repeat(128)), &json!({}), "129");
    gives(
        &format!("{{{{{}1{}}}}}", "(".repeat(10), ")".repeat(10)),
        &json!({}),
        "1",
    );
}
