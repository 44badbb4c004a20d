//! The `#[phases]` attribute.

use proc_macro::TokenStream;
use quote::{format_ident, quote};
use syn::{ImplItem, ItemImpl, parse_macro_input};

const PHASES: [&str; 9] = [
    "rewrite",
    "access",
    "before_proxy",
    "request_body",
    "header_filter",
    "body_filter",
    "log",
    "stream_access",
    "stream_log",
];

/// Adds `const PHASES` to an `impl Plugin` block: the phases whose methods the block has.
#[proc_macro_attribute]
pub fn phases(_: TokenStream, item: TokenStream) -> TokenStream {
    let mut block = parse_macro_input!(item as ItemImpl);
    let present: Vec<_> = block
        .items
        .iter()
        .filter_map(|item| match item {
            ImplItem::Fn(f) => Some(f.sig.ident.to_string()),
            _ => None,
        })
        .filter(|name| PHASES.contains(&name.as_str()))
        .map(|name| format_ident!("{}", name.to_uppercase()))
        .collect();
    block.items.push(syn::parse_quote! {
        const PHASES: ::crossway_sdk::plugin::Phases =
            ::crossway_sdk::plugin::Phases::empty()#(.union(::crossway_sdk::plugin::Phases::#present))*;
    });
    quote!(#block).into()
}
