//! Tokens as a program. What Lua has beyond expressions, conditions and loops over the body is refused.

use super::{Refused, functions::Function, lexer::Token};
use crossway_sdk::expr::Variable;
use std::{iter::Peekable, vec::IntoIter};

/// A step of a template.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Box<[u8]>),
    Output {
        expression: Expression,
        escaped: bool,
    },
    If {
        branches: Vec<(Expression, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Each {
        names: (String, Option<String>),
        over: Expression,
        list: bool,
        body: Vec<Node>,
    },
    Count {
        name: String,
        from: Expression,
        to: Expression,
        step: Option<Expression>,
        body: Vec<Node>,
    },
    Local {
        name: String,
        value: Expression,
    },
}

/// What has a value.
#[derive(Debug)]
pub(super) enum Expression {
    Nil,
    Boolean(bool),
    Number(f64),
    Text(String),
    /// A local name, else a member of the body.
    Name(String),
    /// `_body`.
    Body,
    /// `_ctx.var.…`.
    Variable(Variable),
    Index(Box<(Expression, Expression)>),
    Call(Function, Vec<Expression>),
    Not(Box<Expression>),
    Negative(Box<Expression>),
    Length(Box<Expression>),
    Binary(&'static str, Box<(Expression, Expression)>),
}

/// How deeply expressions and blocks may stand in each other.
const DEPTH: usize = 16;

/// Steps of the parser for one such depth: an expression passes the levels of all operators.
const STEPS: usize = 8;

/// Operators in one expression, and members in one chain of `a.b.c`.
const LONGEST: usize = 128;

/// Operators by how strongly they bind, with whether they bind to the right.
const LEVELS: [(&[&str], bool); 5] = [
    (&["<", ">", "<=", ">=", "~=", "=="], false),
    (&[".."], true),
    (&["+", "-"], false),
    (&["*", "/", "%"], false),
    (&[], false),
];

/// Makes a program of tokens.
pub(super) fn program(tokens: Vec<Token>) -> Result<Vec<Node>, Refused> {
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        depth: 0,
        operators: 0,
    };
    let (nodes, end) = parser.block()?;
    match end {
        None => Ok(nodes),
        Some(word) => Err(Refused(format!("{word:?} without a beginning"))),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    depth: usize,
    operators: usize,
}

impl Parser {
    /// Nodes up to the word that ends them, which is taken.
    fn block(&mut self) -> Result<(Vec<Node>, Option<String>), Refused> {
        self.depth += STEPS - 1;
        self.descend()?;
        let mut nodes = Vec::new();
        while let Some(token) = self.tokens.next() {
            self.operators = 0;
            match token {
                Token::Literal(text) => nodes.push(Node::Literal(text.into_bytes().into())),
                Token::Open { escaped } => {
                    let expression = self.expression()?;
                    self.take(&Token::Close, "the end of the tag")?;
                    nodes.push(Node::Output {
                        expression,
                        escaped,
                    });
                }
                Token::Sign(";") => {}
                Token::Name(word) => match word.as_str() {
                    "end" | "else" | "elseif" => {
                        self.depth -= STEPS;
                        return Ok((nodes, Some(word)));
                    }
                    "if" => nodes.push(self.condition()?),
                    "for" => nodes.push(self.repetition()?),
                    "local" => nodes.push(self.local()?),
                    _ => {
                        return Err(Refused(format!(
                            "{word:?} is not supported as a statement: expected if, for or local"
                        )));
                    }
                },
                other => return Err(unexpected(Some(&other), "a statement")),
            }
        }
        self.depth -= STEPS;
        Ok((nodes, None))
    }

    fn condition(&mut self) -> Result<Node, Refused> {
        let mut branches = Vec::new();
        loop {
            let condition = self.expression()?;
            self.word("then")?;
            let (body, end) = self.block()?;
            branches.push((condition, body));
            match end.as_deref() {
                Some("elseif") => {}
                Some("else") => {
                    let otherwise = self.closed_block("if")?;
                    return Ok(Node::If {
                        branches,
                        otherwise,
                    });
                }
                Some(_) => {
                    return Ok(Node::If {
                        branches,
                        otherwise: Vec::new(),
                    });
                }
                None => return Err(Refused("an if without its end".to_owned())),
            }
        }
    }

    fn repetition(&mut self) -> Result<Node, Refused> {
        let first = self.name()?;
        if self.is_sign("=") {
            let from = self.expression()?;
            self.take(&Token::Sign(","), "a comma")?;
            let to = self.expression()?;
            let step = if self.is_sign(",") {
                Some(self.expression()?)
            } else {
                None
            };
            self.word("do")?;
            let body = self.closed_block("for")?;
            return Ok(Node::Count {
                name: first,
                from,
                to,
                step,
                body,
            });
        }
        let second = if self.is_sign(",") {
            Some(self.name()?)
        } else {
            None
        };
        self.word("in")?;
        let iterator = self.name()?;
        let list = match iterator.as_str() {
            "ipairs" => true,
            "pairs" => false,
            other => {
                return Err(Refused(format!(
                    "a loop over {other} is not supported: expected pairs or ipairs"
                )));
            }
        };
        self.take(&Token::Sign("("), "(")?;
        let over = self.expression()?;
        self.take(&Token::Sign(")"), ")")?;
        self.word("do")?;
        let body = self.closed_block("for")?;
        Ok(Node::Each {
            names: (first, second),
            over,
            list,
            body,
        })
    }

    fn local(&mut self) -> Result<Node, Refused> {
        let name = self.name()?;
        self.take(&Token::Sign("="), "=")?;
        Ok(Node::Local {
            name,
            value: self.expression()?,
        })
    }

    fn closed_block(&mut self, of: &str) -> Result<Vec<Node>, Refused> {
        match self.block()? {
            (body, Some(word)) if word == "end" => Ok(body),
            (_, Some(word)) => Err(Refused(format!("{word:?} in the wrong place"))),
            (_, None) => Err(Refused(format!("a {of} without its end"))),
        }
    }

    fn expression(&mut self) -> Result<Expression, Refused> {
        self.descend()?;
        let mut left = self.both()?;
        while self.is_word("or") {
            self.operator()?;
            left = Expression::Binary("or", Box::new((left, self.both()?)));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn both(&mut self) -> Result<Expression, Refused> {
        let mut left = self.binary(0)?;
        while self.is_word("and") {
            self.operator()?;
            left = Expression::Binary("and", Box::new((left, self.binary(0)?)));
        }
        Ok(left)
    }

    fn binary(&mut self, level: usize) -> Result<Expression, Refused> {
        self.descend()?;
        let Some((signs, to_the_right)) = LEVELS.get(level).filter(|(signs, _)| !signs.is_empty())
        else {
            let operand = self.unary();
            self.depth -= 1;
            return operand;
        };
        let mut left = self.binary(level + 1)?;
        while let Some(sign) = self.any_sign(signs) {
            self.operator()?;
            let right = self.binary(if *to_the_right { level } else { level + 1 })?;
            left = Expression::Binary(sign, Box::new((left, right)));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expression, Refused> {
        self.descend()?;
        let value = if self.is_word("not") {
            Expression::Not(Box::new(self.unary()?))
        } else if self.is_sign("-") {
            Expression::Negative(Box::new(self.unary()?))
        } else if self.is_sign("#") {
            Expression::Length(Box::new(self.unary()?))
        } else {
            self.operand()?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn operand(&mut self) -> Result<Expression, Refused> {
        let token = self.tokens.next();
        let value = match token {
            Some(Token::Number(number)) => return Ok(Expression::Number(number)),
            Some(Token::Text(text)) => Expression::Text(text),
            Some(Token::Sign("(")) => {
                let inner = self.expression()?;
                self.take(&Token::Sign(")"), ")")?;
                inner
            }
            Some(Token::Name(name)) => match name.as_str() {
                "nil" => return Ok(Expression::Nil),
                "true" => return Ok(Expression::Boolean(true)),
                "false" => return Ok(Expression::Boolean(false)),
                "_body" => Expression::Body,
                "_ctx" => return self.variable(),
                "_multipart" => {
                    return Err(Refused(
                        "_multipart is not supported: the fields of a form are there by name"
                            .to_owned(),
                    ));
                }
                "function" => {
                    return Err(Refused(
                        "functions cannot be defined in a template".to_owned(),
                    ));
                }
                _ => match self.called(&name)? {
                    Some(call) => call,
                    None => Expression::Name(name),
                },
            },
            other => return Err(unexpected(other.as_ref(), "a value")),
        };
        self.suffixes(value)
    }

    /// A call of a function that there is, by its plain or dotted name.
    fn called(&mut self, name: &str) -> Result<Option<Expression>, Refused> {
        if matches!(self.tokens.peek(), Some(Token::Sign("("))) {
            let function = Function::named(name).ok_or_else(|| unknown_function(name))?;
            return Ok(Some(Expression::Call(function, self.arguments()?)));
        }
        if !matches!(name, "string" | "table" | "math")
            || !matches!(self.tokens.peek(), Some(Token::Sign(".")))
        {
            return Ok(None);
        }
        self.tokens.next();
        let member = self.name()?;
        let full = format!("{name}.{member}");
        if !matches!(self.tokens.peek(), Some(Token::Sign("("))) {
            return Err(Refused(format!("{full} can only be called")));
        }
        let function = Function::named(&full).ok_or_else(|| unknown_function(&full))?;
        Ok(Some(Expression::Call(function, self.arguments()?)))
    }

    fn arguments(&mut self) -> Result<Vec<Expression>, Refused> {
        self.take(&Token::Sign("("), "(")?;
        let mut arguments = Vec::new();
        if self.is_sign(")") {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression()?);
            if !self.is_sign(",") {
                self.take(&Token::Sign(")"), ")")?;
                return Ok(arguments);
            }
        }
    }

    /// `.name`, `[key]` and `:method(…)`, any number of them.
    fn suffixes(&mut self, mut value: Expression) -> Result<Expression, Refused> {
        for _ in 0..LONGEST {
            value = if self.is_sign(".") {
                let name = self.name()?;
                Expression::Index(Box::new((value, Expression::Text(name))))
            } else if self.is_sign("[") {
                let key = self.expression()?;
                self.take(&Token::Sign("]"), "]")?;
                Expression::Index(Box::new((value, key)))
            } else if self.is_sign(":") {
                let name = self.name()?;
                let full = format!("string.{name}");
                let function = Function::named(&full).ok_or_else(|| unknown_function(&full))?;
                let mut arguments = self.arguments()?;
                arguments.insert(0, value);
                Expression::Call(function, arguments)
            } else if matches!(self.tokens.peek(), Some(Token::Sign("("))) {
                return Err(Refused("a value of the body cannot be called".to_owned()));
            } else {
                return Ok(value);
            };
        }
        Err(Refused("the template is nested too deeply".to_owned()))
    }

    /// `_ctx.var.name` or `_ctx.var["name"]`.
    fn variable(&mut self) -> Result<Expression, Refused> {
        let refused = || Refused("of _ctx only _ctx.var.<name> is supported".to_owned());
        if !(self.is_sign(".") && self.name()? == "var") {
            return Err(refused());
        }
        let name = if self.is_sign(".") {
            self.name()?
        } else if self.is_sign("[") {
            let Some(Token::Text(name)) = self.tokens.next() else {
                return Err(refused());
            };
            self.take(&Token::Sign("]"), "]")?;
            name
        } else {
            return Err(refused());
        };
        let variable =
            Variable::parse(&name).map_err(|e| Refused(format!("_ctx.var.{name}: {e}")))?;
        Ok(Expression::Variable(variable))
    }

    fn name(&mut self) -> Result<String, Refused> {
        match self.tokens.next() {
            Some(Token::Name(name)) => Ok(name),
            other => Err(unexpected(other.as_ref(), "a name")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Refused> {
        match self.is_word(word) {
            true => Ok(()),
            false => Err(unexpected(self.tokens.peek(), word)),
        }
    }

    fn is_word(&mut self, word: &str) -> bool {
        self.tokens
            .next_if(|t| matches!(t, Token::Name(n) if n == word))
            .is_some()
    }

    fn is_sign(&mut self, sign: &str) -> bool {
        self.tokens
            .next_if(|t| matches!(t, Token::Sign(s) if *s == sign))
            .is_some()
    }

    fn any_sign(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let next = self.tokens.peek();
        let found = signs.iter().find(|s| next == Some(&Token::Sign(s)))?;
        self.tokens.next();
        Some(found)
    }

    fn take(&mut self, token: &Token, expected: &str) -> Result<(), Refused> {
        match self.tokens.next() {
            Some(found) if found == *token => Ok(()),
            other => Err(unexpected(other.as_ref(), expected)),
        }
    }

    fn descend(&mut self) -> Result<(), Refused> {
        self.depth += 1;
        match self.depth > STEPS * DEPTH {
            true => Err(Refused("the template is nested too deeply".to_owned())),
            false => Ok(()),
        }
    }

    /// Counts an operator of the expression at hand.
    fn operator(&mut self) -> Result<(), Refused> {
        self.operators += 1;
        match self.operators > LONGEST {
            true => Err(Refused(format!(
                "an expression has more than {LONGEST} operators"
            ))),
            false => Ok(()),
        }
    }
}

fn unknown_function(name: &str) -> Refused {
    Refused(format!(
        "the function {name} is not supported: expected one of {}",
        Function::names()
    ))
}

fn unexpected(found: Option<&Token>, expected: &str) -> Refused {
    let found = match found {
        None => "the end".to_owned(),
        Some(Token::Literal(_)) => "text outside of a tag".to_owned(),
        Some(Token::Open { .. } | Token::Close) => "the end of a tag".to_owned(),
        Some(Token::Name(name)) => format!("{name:?}"),
        Some(Token::Number(number)) => format!("{number}"),
        Some(Token::Text(text)) => format!("{text:?}"),
        Some(Token::Sign(sign)) => format!("{sign:?}"),
    };
    Refused(format!("expected {expected}, found {found}"))
}
