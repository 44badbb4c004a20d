//! How a call failed, in terms of HTTP.

use super::answer::Manner;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

/// Headers in gRPC may leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Detail>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Detail {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The status in HTTP; 599 for one that gRPC does not have.
pub(super) fn http(grpc: &[u8]) -> u16 {
    match grpc {
        b"1" => 499,
        b"2" | b"13" | b"15" => 500,
        b"3" | b"9" | b"11" => 400,
        b"4" => 504,
        b"5" => 404,
        b"6" | b"10" => 409,
        b"7" => 403,
        b"8" => 429,
        b"12" => 501,
        b"14" => 503,
        b"16" => 401,
        _ => 599,
    }
}

/// `{"error": …}` of the header `grpc-status-details-bin`; `Err` is what the client is told.
pub(super) fn body(
    header: &[u8],
    details: Option<&MessageDescriptor>,
    manner: Manner,
) -> Result<Value, &'static str> {
    let bytes = BASE64
        .decode(header)
        .map_err(|_| "grpc-status-details-bin is not base64 format")?;
    let status = Status::decode(&*bytes)
        .map_err(|_| "failed to call pb.decode to decode grpc-status-details-bin")?;
    let shown = status.details.into_iter().map(|detail| match details {
        None => Ok(json!({
            "type_url": detail.type_url,
            "value": String::from_utf8_lossy(&detail.value),
        })),
        Some(of) => DynamicMessage::decode(of.clone(), &*detail.value)
            .map(|message| manner.write(&message))
            .map_err(|_| "failed to call pb.decode to decode details in grpc-status-details-bin"),
    });
    let shown = shown.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "error": { "code": status.code, "message": status.message, "details": shown } }))
}
