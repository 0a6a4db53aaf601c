//! did:key (w3c-ccg/did-key-spec v0.9): the DID is the public key, the document is computed.
//!
//! Where the specification's text and its example differ we follow the example, as the reference
//! implementations do: the X25519 key that is derived from an Ed25519 key is embedded in
//! `keyAgreement`.

mod public_key;

pub use public_key::{KeyType, PublicKey};

use crate::{
    Code, Did, Document, DocumentMetadata, Error, Material, Relationship, Resolution,
    VerificationMethod,
};

/// The method's name.
pub const NAME: &str = "key";

/// What a client may ask of the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How keys are written (`publicKeyFormat`).
    pub format: PublicKeyFormat,
    /// Whether the document of an Ed25519 key also has the derived X25519 key
    /// (`enableEncryptionKeyDerivation`).
    pub derive_encryption_key: bool,
}

/// The ways to write a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublicKeyFormat {
    /// `Multikey`
    Multikey,
    /// `JsonWebKey`
    JsonWebKey,
    /// `Ed25519VerificationKey2020`, and `X25519KeyAgreementKey2020` for the key derived from it;
    /// for keys on these two curves only.
    Ed25519VerificationKey2020,
}

impl Options {
    /// What a client gets that asks for nothing: Multikey, with the derived key.
    pub const STANDARD: Self = Self {
        format: PublicKeyFormat::Multikey,
        derive_encryption_key: true,
    };

    /// Reads the options of a resolution by the names that the specification gives them; names of
    /// other methods are left alone.
    pub fn parse<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Error> {
        let mut parsed = Self::STANDARD;
        for (name, value) in options {
            match (name, value) {
                ("publicKeyFormat", format) => parsed.format = PublicKeyFormat::parse(format)?,
                ("enableEncryptionKeyDerivation", "true") => parsed.derive_encryption_key = true,
                ("enableEncryptionKeyDerivation", "false") => parsed.derive_encryption_key = false,
                ("enableEncryptionKeyDerivation", _) => {
                    let detail = "enableEncryptionKeyDerivation is true or false";
                    return Err(Error::new(Code::InvalidOptions, detail));
                }
                _ => {}
            }
        }
        Ok(parsed)
    }
}

impl PublicKeyFormat {
    fn parse(name: &str) -> Result<Self, Error> {
        match name {
            "Multikey" => Ok(Self::Multikey),
            "JsonWebKey" | "JsonWebKey2020" => Ok(Self::JsonWebKey),
            "Ed25519VerificationKey2020" => Ok(Self::Ed25519VerificationKey2020),
            other => {
                let detail = format!("keys cannot be written as `{other}`");
                Err(Error::new(Code::UnsupportedPublicKeyType, detail))
            }
        }
    }

    fn write(self, key: &PublicKey) -> Result<Material, Error> {
        match (self, key.key_type()) {
            (Self::Multikey, _) => Ok(Material::Multikey(key.to_multibase())),
            (Self::JsonWebKey, _) => Ok(Material::JsonWebKey(key.jwk())),
            (Self::Ed25519VerificationKey2020, KeyType::Ed25519) => {
                Ok(Material::Ed25519VerificationKey2020(key.to_multibase()))
            }
            (Self::Ed25519VerificationKey2020, KeyType::X25519) => {
                Ok(Material::X25519KeyAgreementKey2020(key.to_multibase()))
            }
            (Self::Ed25519VerificationKey2020, other) => {
                let detail = format!("a key of type {} is no Ed25519 key", other.curve());
                Err(Error::new(Code::InvalidPublicKeyType, detail))
            }
        }
    }
}

/// The key that a did:key is: `did:key:z…`, or with the version in front, `did:key:1:z…`.
pub fn parse(did: &Did) -> Result<PublicKey, Error> {
    let id = did.id_of(NAME)?;
    match id.split_once(':') {
        None => PublicKey::from_multibase(id),
        Some(("1", key)) => PublicKey::from_multibase(key),
        Some((version, _)) => Err(Error::new(
            Code::InvalidDid,
            format!("did:key has no version `{version}`"),
        )),
    }
}

/// The document of a did:key.
pub fn resolve(did: &Did, options: Options) -> Result<Resolution, Error> {
    let key = parse(did)?;
    let mut document = Document::new(did.as_str());
    let method = method_of(did, &key, options.format, &mut document)?;
    let reference = || vec![Relationship::Reference(method.id.clone())];
    if key.key_type() == KeyType::X25519 {
        document.key_agreement = reference();
    } else {
        document.authentication = reference();
        document.assertion_method = reference();
        document.capability_invocation = reference();
        document.capability_delegation = reference();
    }
    if options.derive_encryption_key
        && let Some(derived) = key.derived_x25519()
    {
        let derived = method_of(did, &derived, options.format, &mut document)?;
        document.key_agreement = vec![Relationship::Embedded(derived)];
    }
    document.verification_method = vec![method];
    Ok(Resolution::of(document, DocumentMetadata::default()))
}

fn method_of(
    did: &Did,
    key: &PublicKey,
    format: PublicKeyFormat,
    document: &mut Document,
) -> Result<VerificationMethod, Error> {
    let material = format.write(key)?;
    if let Some(context) = material.context() {
        document.add_context(context);
    }
    Ok(VerificationMethod {
        id: format!("{did}#{key}"),
        controller: did.to_string(),
        material,
    })
}

#[cfg(test)]
mod tests;
