//! Records of a window: small numbers in few bytes, everything else as it is.

use chain::Said;
use kernel::{Address, B256, Bytes, U256};

use super::arena::Link;

/// A transaction: the place of its block in the window's list, and its hash.
pub(super) fn transaction(block: usize, hash: &B256) -> Vec<u8> {
    let mut record = Writer::default();
    record.number(block);
    record.raw(hash.as_slice());
    record.0
}

/// The head of an agent's list: a link to its first log, and its token.
pub(super) struct TokenRecord {
    pub next: Option<Link>,
    /// Place of the registry in the window's list.
    pub registry: usize,
    pub id: U256,
}

impl TokenRecord {
    pub fn write(registry: usize, id: U256) -> Vec<u8> {
        let mut record = Writer::default();
        record.raw(&Link::NONE.bytes());
        record.number(registry);
        record.bytes(&id.to_be_bytes_trimmed_vec());
        record.0
    }

    pub fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader::new(bytes);
        Self {
            next: Link::of(reader.array()),
            registry: reader.number(),
            id: U256::from_be_slice(reader.bytes()),
        }
    }
}

/// A log: a link to the agent's next one, where it stands, and its words.
pub(super) struct LogRecord {
    pub transaction: Link,
    pub index: u32,
    /// Place of the emitter in the window's list.
    pub address: usize,
    pub said: Vec<Said>,
}

impl LogRecord {
    /// The record, and where in it the URIs stand that its words set.
    pub fn write(
        transaction: Link,
        index: u32,
        address: usize,
        said: &[Said],
    ) -> (Vec<u8>, Vec<usize>) {
        let mut record = Writer::default();
        let mut uris = Vec::new();
        record.raw(&Link::NONE.bytes());
        record.raw(&transaction.bytes());
        record.number(index as usize);
        record.number(address);
        record.number(said.len());
        for word in said {
            if matches!(word, Said::UriSet { .. }) {
                uris.push(record.0.len() + 1);
            }
            record.said(word);
        }
        (record.0, uris)
    }

    /// The link to the next log.
    pub fn next(bytes: &[u8]) -> Option<Link> {
        Link::of(Reader::new(bytes).array())
    }

    pub fn read(reader: &mut Reader<'_>) -> Self {
        let _next: [u8; Link::BYTES] = reader.array();
        let transaction = Link::of(reader.array()).unwrap_or(Link::NONE);
        let index = u32::try_from(reader.number()).unwrap_or(u32::MAX);
        let address = reader.number();
        let words = reader.number();
        Self {
            transaction,
            index,
            address,
            said: (0..words).map(|_| reader.said()).collect(),
        }
    }
}

/// Set in a word's tag where the word is confirmed.
const CONFIRMED: u8 = 0x80;

struct Writer(Vec<u8>);

impl Default for Writer {
    /// Room for most records.
    fn default() -> Self {
        Self(Vec::with_capacity(128))
    }
}

impl Writer {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self, mut number: usize) {
        while number > 0x7f {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.raw(bytes);
    }

    fn some(&mut self, address: Option<&Address>) {
        self.bytes(address.map_or(&[], |address| address.as_slice()));
    }

    fn said(&mut self, said: &Said) {
        let confirmed = if said.confirmed() { CONFIRMED } else { 0 };
        let mut tag = |tag: u8| self.0.push(tag | confirmed);
        match said {
            Said::Noted => tag(0),
            Said::Founded { owner, .. } => {
                tag(1);
                self.raw(owner.as_slice());
            }
            Said::OwnerMoved { from, to } => {
                tag(2);
                self.raw(from.as_slice());
                self.raw(to.as_slice());
            }
            Said::Burned { from } => {
                tag(3);
                self.raw(from.as_slice());
            }
            Said::WalletSet { wallet, .. } => {
                tag(4);
                self.some(wallet.as_ref());
            }
            Said::UriSet { uri, .. } => {
                tag(5);
                self.bytes(uri);
            }
            Said::MetadataSet { key, value } => {
                tag(6);
                self.bytes(key);
                self.bytes(value);
            }
            Said::StatusSet {
                status,
                reason,
                speaker,
            } => {
                tag(7);
                self.raw(&[*status]);
                self.bytes(reason);
                self.raw(speaker.as_slice());
            }
            Said::Heartbeat => tag(8),
            Said::Approved { approved } => {
                tag(9);
                self.some(approved.as_ref());
            }
        }
    }
}

/// Reads what a [`Writer`] of this file wrote, and nothing else: no length in it is hostile.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(self.raw(N));
        array
    }

    pub fn number(&mut self) -> usize {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let [byte] = self.array();
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn raw(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        bytes
    }

    pub fn bytes(&mut self) -> &'a [u8] {
        let length = self.number();
        self.raw(length)
    }

    fn address(&mut self) -> Address {
        self.array().into()
    }

    fn some(&mut self) -> Option<Address> {
        Address::try_from(self.bytes()).ok()
    }

    fn copied(&mut self) -> Bytes {
        Bytes::copy_from_slice(self.bytes())
    }

    fn said(&mut self) -> Said {
        let [tag] = self.array();
        let confirmed = tag & CONFIRMED != 0;
        match tag & !CONFIRMED {
            1 => Said::Founded {
                owner: self.address(),
                confirmed,
            },
            2 => Said::OwnerMoved {
                from: self.address(),
                to: self.address(),
            },
            3 => Said::Burned {
                from: self.address(),
            },
            4 => Said::WalletSet {
                wallet: self.some(),
                confirmed,
            },
            5 => Said::UriSet {
                uri: self.copied(),
                confirmed,
            },
            6 => Said::MetadataSet {
                key: self.copied(),
                value: self.copied(),
            },
            7 => {
                let [status] = self.array();
                Said::StatusSet {
                    status,
                    reason: self.copied(),
                    speaker: self.address(),
                }
            }
            8 => Said::Heartbeat,
            9 => Said::Approved {
                approved: self.some(),
            },
            _ => Said::Noted,
        }
    }
}
