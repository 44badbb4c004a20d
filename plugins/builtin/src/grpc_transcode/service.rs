//! The description of a service: text of a `.proto` file, or a FileDescriptorSet in base64.

use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::DescriptorPool;
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};

const NAME: &str = "uploaded.proto";

/// The one file that was uploaded. What it imports beside the types of Google is not there.
struct Uploaded(String);

impl FileResolver for Uploaded {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        match name {
            NAME => File::from_source(NAME, &self.0),
            _ => Err(Error::file_not_found(name)),
        }
    }
}

/// Reads a description.
///
/// # Errors
/// It is neither; the message is about the text.
pub(super) fn read(content: &str) -> Result<DescriptorPool, String> {
    let wrong = match compile(content) {
        Ok(pool) => return Ok(pool),
        Err(wrong) => wrong,
    };
    let set = STANDARD.decode(content.trim_ascii()).ok();
    let pool = set.and_then(|set| DescriptorPool::decode(&*set).ok());
    pool.ok_or(wrong)
}

fn compile(source: &str) -> Result<DescriptorPool, String> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Uploaded(source.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.open_file(NAME).map_err(|e| e.to_string())?;
    Ok(compiler.descriptor_pool())
}
