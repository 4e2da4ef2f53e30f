//! Positions in the lists of one configuration: a type for each kind of thing, so that none is taken for that of another
//! kind, nor for a number that outlives the configuration.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// Positions of one kind of thing. A list that has one item for each of them, in the order of the configuration, is
/// indexed by the position itself.
macro_rules! position {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// Of a place in a list.
            #[inline]
            #[must_use]
            pub const fn new(place: usize) -> Self {
                Self(place as u32)
            }

            /// As a place in a list.
            #[inline]
            #[must_use]
            pub const fn at(self) -> usize {
                self.0 as usize
            }

            /// Every position in their order, without end: to be zipped with a list.
            #[inline]
            pub fn all() -> impl Iterator<Item = Self> + Clone {
                (0..).map(Self)
            }

            /// The positions of a list that has one item for each.
            #[inline]
            pub fn of<T>(list: &[T]) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone + use<T> {
                (0..list.len()).map(Self::new)
            }
        }

        impl<T> Index<$name> for [T] {
            type Output = T;

            #[inline]
            fn index(&self, position: $name) -> &T {
                &self[position.at()]
            }
        }

        impl<T> IndexMut<$name> for [T] {
            #[inline]
            fn index_mut(&mut self, position: $name) -> &mut T {
                &mut self[position.at()]
            }
        }

        impl<T> Index<$name> for Vec<T> {
            type Output = T;

            #[inline]
            fn index(&self, position: $name) -> &T {
                &self[position.at()]
            }
        }

        impl<T> IndexMut<$name> for Vec<T> {
            #[inline]
            fn index_mut(&mut self, position: $name) -> &mut T {
                &mut self[position.at()]
            }
        }
    };
}

position! {
    /// Of an endpoint. Records hold it as the plain number.
    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    EndpointIndex
}

position! {
    /// Of a model. Records hold it as the plain number.
    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    ModelIndex
}

position! {
    /// Of a site. Records hold it as the plain number.
    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    SiteIndex
}

position! {
    /// Of a tenant.
    TenantIndex
}
