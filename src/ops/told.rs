//! Sentences in English and Chinese.

/// A sentence, or a part of one, in both languages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// In English.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

impl Told {
    /// Adds a part at the end.
    pub fn push(&mut self, part: &Self) {
        self.en.push_str(&part.en);
        self.zh.push_str(&part.zh);
    }

    /// With a part at the end, if there is one.
    pub fn with(mut self, part: Option<Self>) -> Self {
        if let Some(part) = part {
            self.push(&part);
        }
        self
    }

    /// Several as one list.
    pub fn list(parts: &[Self], en: &str, zh: &str) -> Self {
        let join = |of: fn(&Self) -> &str, by| parts.iter().map(of).collect::<Vec<_>>().join(by);
        Self { en: join(|part| &part.en, en), zh: join(|part| &part.zh, zh) }
    }
}

/// Makes a [`Told`] of two formats that use the same variables. Those named after the formats are
/// parts, which stand in each format in its language.
macro_rules! told {
    ($en:literal, $zh:literal $(, $part:ident)*) => {
        $crate::ops::told::Told {
            en: { $(let $part = &$part.en;)* format!($en) },
            zh: { $(let $part = &$part.zh;)* format!($zh) },
        }
    };
}
pub(crate) use told;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_in_each_language() {
        let (id, part) = (7, Told { en: "it waits".to_owned(), zh: "正在等待".to_owned() });
        let made = told!("execution {id}: {part}", "执行 {id}：{part}", part);
        assert_eq!((&*made.en, &*made.zh), ("execution 7: it waits", "执行 7：正在等待"));
        let list = Told::list(&[part.clone(), part], ", ", "、");
        assert_eq!((&*list.en, &*list.zh), ("it waits, it waits", "正在等待、正在等待"));
    }
}
