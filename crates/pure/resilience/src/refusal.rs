//! How the refusals of all patterns become errors.

/// Gives each type its sentence and makes it an error without a source.
macro_rules! sentences {
    ($($refusal:ident: |$it:ident, $f:ident| $say:expr;)*) => {
        $(
            impl std::fmt::Display for $refusal {
                fn fmt(&self, $f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    let $it = self;
                    $say
                }
            }

            impl std::error::Error for $refusal {}
        )*
    };
}

pub(crate) use sentences;
