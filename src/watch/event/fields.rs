//! The fields of messages that matter here, read without being strict about anything but JSON itself.
//!
//! Texts are borrowed from the message where it has them without escapes. A field that comes twice has its last value.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A text, a number or a truth value as text; none for anything else.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(Option<Cow<'a, str>>);

impl Text<'_> {
    pub(super) fn as_deref(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

/// The records of a message.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Records<'a> {
    /// Not spoken of.
    #[default]
    Absent,
    /// Spoken of, perhaps to say that there are none.
    Are {
        /// Those with a key.
        told: Vec<Record<'a>>,
        /// How many are without one.
        empty: u32,
    },
}

/// `Event`: a name in S3's test, records in what MinIO writes to Redis.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event<'a> {
    pub(super) name: Text<'a>,
    pub(super) records: Records<'a>,
}

/// Passes over the rest of a list.
fn drain<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Passes over the rest of a table.
fn drain_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

/// What a visitor answers to values that it does not expect.
macro_rules! absent {
    ($($visit:ident: $kind:ty),*) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }
        $(fn $visit<E: Error>(self, _: $kind) -> Result<Self::Value, E> {
            Ok(Self::Value::default())
        })*
    };
}

/// A table of which some fields matter, each of which may be missing or of another kind.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty = $key:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, PartialEq, Eq)]
        pub(super) struct $name<'a> {
            $(pub(super) $field: $kind,)*
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
                struct Reader<'a>(std::marker::PhantomData<$name<'a>>);
                impl<'de: 'a, 'a> Visitor<'de> for Reader<'a> {
                    type Value = $name<'a>;
                    absent!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
                    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                        Ok(Self::Value::default())
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                        drain(list)?;
                        Ok(Self::Value::default())
                    }
                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                        let mut table = $name::default();
                        while let Some(key) = map.next_key::<Text<'de>>()? {
                            match key.as_deref() {
                                $(Some($key) => table.$field = map.next_value()?,)*
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(table)
                    }
                }
                reader.deserialize_any(Reader(std::marker::PhantomData))
            }
        }
    };
}

table! {
    /// A whole message, of whatever shape.
    Body {
        records: Records<'a> = "Records",
        event: Event<'a> = "Event",
        event_name: Text<'a> = "EventName",
        key: Text<'a> = "Key",
        kind: Text<'a> = "Type",
        message: Text<'a> = "Message",
        detail_type: Text<'a> = "detail-type",
        detail: Option<Detail<'a>> = "detail",
        time: Text<'a> = "time",
    }
}

table! {
    /// One record in the manner of S3's notifications.
    Record {
        name: Text<'a> = "eventName",
        source: Text<'a> = "eventSource",
        time: Text<'a> = "eventTime",
        s3: Detail<'a> = "s3",
    }
}

table! {
    /// Which object of which bucket.
    Detail {
        bucket: Bucket<'a> = "bucket",
        object: Object<'a> = "object",
    }
}

table! {
    /// The bucket of an event.
    Bucket {
        name: Text<'a> = "name",
    }
}

table! {
    /// The object of an event.
    Object {
        key: Text<'a> = "key",
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;
            absent!();
            fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
                Ok(Text::default())
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Borrowed(text))))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Some(Cow::Owned(text.to_owned()))))
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Text<'de>, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Text<'de>, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Text<'de>, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Text<'de>, E> {
                self.visit_str(&value.to_string())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Text<'de>, A::Error> {
                drain(list)?;
                Ok(Text::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text<'de>, A::Error> {
                drain_map(map)?;
                Ok(Text::default())
            }
        }
        reader.deserialize_any(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Event<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Event<'de>;
            absent!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
            fn visit_unit<E: Error>(self) -> Result<Event<'de>, E> {
                Ok(Event {
                    name: Text::default(),
                    records: Records::Are {
                        told: Vec::new(),
                        empty: 0,
                    },
                })
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Event<'de>, E> {
                Ok(Event {
                    name: Text(Some(Cow::Owned(text.to_owned()))),
                    records: Records::Absent,
                })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Event<'de>, A::Error> {
                let (mut told, mut empty) = (Vec::new(), 0_u32);
                // One without a key takes no memory.
                while let Some(record) = list.next_element::<Record<'de>>()? {
                    if record.s3.object.key.is_some() {
                        told.push(record);
                    } else {
                        empty = empty.saturating_add(1);
                    }
                }
                Ok(Event {
                    name: Text::default(),
                    records: Records::Are { told, empty },
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Event<'de>, A::Error> {
                drain_map(map)?;
                Ok(Event::default())
            }
        }
        reader.deserialize_any(Reader)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        Ok(Event::deserialize(reader)?.records)
    }
}
