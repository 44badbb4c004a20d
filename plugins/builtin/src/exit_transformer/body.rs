//! The new body of an answer: a text, or a document whose texts are filled in.

use crate::answer_text::AnswerText;
use bytes::Bytes;
use crossway_sdk::expr::{Lookup, Template, TemplateError, Value as Answer, Variable};
use http::StatusCode;
use serde_json::Value;

/// A body.
pub(super) enum Body {
    Text(AnswerText),
    Document(Node),
}

/// A part of a document.
pub(super) enum Node {
    Constant(Value),
    /// What the answer itself says.
    Message,
    /// One variable and nothing else: a number stays a number.
    Variable(Variable),
    Text(Template),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Body {
    pub(super) fn compile(written: &Value, content_type: &str) -> Result<Self, TemplateError> {
        match written {
            Value::String(text) => AnswerText::compile(text, content_type).map(Self::Text),
            document => Node::compile(document).map(Self::Document),
        }
    }

    /// The body for an answer that came with this status and these bytes.
    pub(super) fn render(&self, from: &dyn Lookup, status: StatusCode, own: &[u8]) -> Bytes {
        match self {
            Self::Text(text) => text.render(from),
            Self::Document(node) => format!("{}\n", node.fill(from, status, own)).into(),
        }
    }
}

impl Node {
    fn compile(written: &Value) -> Result<Self, TemplateError> {
        Ok(match written {
            Value::String(text) if text == "$message" => Self::Message,
            Value::String(text) => match text.strip_prefix('$').map(Variable::parse) {
                Some(Ok(variable)) => Self::Variable(variable),
                _ => {
                    let template = Template::parse(text)?;
                    match template.is_constant() {
                        Some(_) => Self::Constant(written.clone()),
                        None => Self::Text(template),
                    }
                }
            },
            Value::Array(items) => {
                Self::List(items.iter().map(Self::compile).collect::<Result<_, _>>()?)
            }
            Value::Object(members) => {
                let each = members.iter();
                let each = each.map(|(name, v)| Self::compile(v).map(|node| (name.clone(), node)));
                Self::Object(each.collect::<Result<_, _>>()?)
            }
            other => Self::Constant(other.clone()),
        })
    }

    fn fill(&self, from: &dyn Lookup, status: StatusCode, own: &[u8]) -> Value {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Message => message(status, own).into(),
            Self::Variable(variable) => match from.lookup(variable) {
                Some(Answer::Integer(number)) => number.into(),
                Some(Answer::Number(number)) => number.into(),
                Some(Answer::Boolean(truth)) => truth.into(),
                answer => text(|out| {
                    if let Some(answer) = answer {
                        answer.write_to(out);
                    }
                }),
            },
            Self::Text(template) => text(|out| {
                template.render(from, out);
            }),
            Self::List(items) => items.iter().map(|n| n.fill(from, status, own)).collect(),
            Self::Object(members) => members
                .iter()
                .map(|(name, node)| (name.clone(), node.fill(from, status, own)))
                .collect(),
        }
    }
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into()
}

/// What an answer says of itself, else the words of its status.
fn message(status: StatusCode, own: &[u8]) -> String {
    let document: Option<Value> = serde_json::from_slice(own).ok();
    let said = document.as_ref().and_then(|document| {
        let mut fields = ["message", "error_msg"].into_iter();
        fields.find_map(|field| document.get(field)?.as_str())
    });
    let words = said.or(status.canonical_reason());
    words.unwrap_or("Error").to_owned()
}
