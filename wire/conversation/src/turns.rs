//! Turns as every dialect can say them: the two sides alternate, and every call is answered in the turn after it.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::{Conversation, Item, Role, Turn};

/// The result of a call that never came: a client breaks off while a tool runs, and goes on with the conversation.
const CANCELLED: &str = "The call was cancelled before it had a result.";

impl<'a> Conversation<'a> {
    /// Joins turns of one side that follow each other.
    pub fn alternate(&mut self) {
        let mut turns: Vec<Turn<'a>> = Vec::with_capacity(self.turns.len());
        for turn in self.turns.drain(..) {
            match turns.last_mut() {
                Some(last) if last.role == turn.role => last.items.extend(turn.items),
                _ => turns.push(turn),
            }
        }
        self.turns = turns;
    }

    /// Puts the results of each turn first, in the order of the calls that they answer, and answers the calls that nothing does:
    /// engines refuse a conversation with a call left open. Says whether there was one. The turns have to alternate.
    ///
    /// # Errors
    /// The identifier of a result that answers no call of the turn before it.
    pub fn answer_calls(&mut self) -> Result<bool, String> {
        let (mut added, mut open) = (false, Vec::new());
        for turn in &mut self.turns {
            if turn.role == Role::User {
                added |= settle(&mut turn.items, &open)?;
            }
            open = calls(turn);
        }
        if !open.is_empty() {
            let items = open.into_iter().map(cancelled).collect();
            self.turns.push(Turn { role: Role::User, items });
            added = true;
        }
        Ok(added)
    }
}

/// The identifiers of what a turn calls.
fn calls(turn: &Turn<'_>) -> Vec<String> {
    let id = |item: &Item<'_>| match item {
        Item::Call { id, .. } => Some(id.clone().into_owned()),
        _ => None,
    };
    turn.items.iter().filter_map(id).collect()
}

fn cancelled<'a>(id: String) -> Item<'a> {
    Item::Result { id: id.into(), items: vec![Item::Text(Cow::Borrowed(CANCELLED))], is_error: true }
}

/// Brings the results of a turn into the order of the calls before it, ahead of everything else.
fn settle(items: &mut Vec<Item<'_>>, calls: &[String]) -> Result<bool, String> {
    let (mut results, mut rest): (Vec<Item<'_>>, Vec<Item<'_>>) =
        items.drain(..).partition(|item| matches!(item, Item::Result { .. }));
    let id_of = |item: &Item<'_>| match item {
        Item::Result { id, .. } => id.clone().into_owned(),
        _ => String::new(),
    };
    let place = |item: &Item<'_>| calls.iter().position(|call| *call == id_of(item));
    if let Some(stray) = results.iter().find(|item| place(item).is_none()) {
        return Err(id_of(stray));
    }
    let answered: BTreeSet<String> = results.iter().map(id_of).collect();
    let open = calls.iter().filter(|call| !answered.contains(*call));
    let open: Vec<Item<'_>> = open.map(|call| cancelled(call.clone())).collect();
    let added = !open.is_empty();
    results.extend(open);
    results.sort_by_key(place);
    items.append(&mut results);
    items.append(&mut rest);
    Ok(added)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &'static str) -> Item<'static> {
        Item::Call { id: id.into(), name: "f".into(), arguments: "{}".into() }
    }

    fn result(id: &'static str) -> Item<'static> {
        Item::Result { id: id.into(), items: vec![Item::Text(id.into())], is_error: false }
    }

    fn text(text: &'static str) -> Item<'static> {
        Item::Text(text.into())
    }

    fn of(turns: Vec<(Role, Vec<Item<'static>>)>) -> Conversation<'static> {
        let turns = turns.into_iter().map(|(role, items)| Turn { role, items }).collect();
        let mut conversation = Conversation { turns, ..Conversation::default() };
        conversation.alternate();
        conversation
    }

    #[test]
    fn d02_results_of_one_turn_stand_together_before_its_text_in_the_order_of_the_calls() {
        let mut c = of(vec![
            (Role::User, vec![text("go")]),
            (Role::Assistant, vec![call("a"), call("b")]),
            (Role::User, vec![text("note"), result("b")]),
            (Role::User, vec![result("a"), text("on")]),
        ]);
        assert_eq!(c.answer_calls(), Ok(false));
        assert_eq!(c.turns[2].items, [result("a"), result("b"), text("note"), text("on")]);
    }

    #[test]
    fn d04_a_call_without_a_result_is_answered_as_cancelled() {
        let mut c = of(vec![
            (Role::Assistant, vec![call("a"), call("b")]),
            (Role::User, vec![result("b"), text("go on")]),
            (Role::Assistant, vec![text("well"), call("c")]),
        ]);
        assert_eq!(c.answer_calls(), Ok(true));
        assert_eq!(c.turns[1].items, [cancelled("a".into()), result("b"), text("go on")]);
        assert_eq!(c.turns[3].items, [cancelled("c".into())]);
    }

    #[test]
    fn a_result_of_nothing_is_named() {
        let mut c = of(vec![(Role::User, vec![result("x")])]);
        assert_eq!(c.answer_calls(), Err("x".into()));
        let mut c = of(vec![(Role::Assistant, vec![call("a")]), (Role::User, vec![result("a"), result("y")])]);
        assert_eq!(c.answer_calls(), Err("y".into()));
    }

    #[test]
    fn d27_turns_of_one_side_are_joined() {
        let c = of(vec![(Role::User, vec![text("a")]), (Role::User, vec![text("b")]), (Role::Assistant, vec![])]);
        assert_eq!(c.turns.len(), 2);
        assert_eq!(c.turns[0].items, [text("a"), text("b")]);
    }
}
