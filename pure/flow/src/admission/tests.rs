use super::*;

/// Endpoints and requests in flight there.
const ROOM: [Candidate; 1] = [at(0, 0.0)];
const SECOND: [Candidate; 2] = [at(0, 4.0), at(1, 3.0)];
const NO_ROOM: [Candidate; 2] = [at(0, 4.0), at(1, 4.0)];

const fn at(endpoint: u32, in_flight: f64) -> Candidate {
    Candidate { endpoint, in_flight, queue_ms: 0.0, crowd_ms: 0.0, prefill_ms: 40.0, ttft_ms: 50.0 }
}

fn ask(tenant: u32, priority: Priority) -> AdmissionRequest {
    AdmissionRequest {
        queue_class: 0,
        priority,
        from: From { tenant, session: 0 },
        weight: 1.0,
        slo_ms: 1_000.0,
        wait_max_ms: 2_000.0,
        cost: 100.0,
        jitter: 0.0,
    }
}

/// It waits, and nothing has room.
const fn wait(bound_ms: f64) -> Verdict {
    Verdict::Wait { bound_ms, room_at: None, preempted: None }
}

/// Two endpoints; the second serves another queue class besides.
fn admission() -> Admission {
    Admission::new(alloc::vec![Window::new(4.0); 2], alloc::vec![alloc::vec![0], alloc::vec![0, 1]], 2, 100)
}

/// A hundred requests a second go.
fn flowing() -> Admission {
    let mut a = admission();
    for i in 0..1_000 {
        let verdict = a.arrive(i * 10, &ask(0, Priority::Standard), 50.0, ROOM.into_iter());
        assert_eq!(verdict, Verdict::Go(0));
    }
    a
}

#[test]
fn the_first_candidate_with_room_is_taken() {
    let mut a = admission();
    assert_eq!(a.arrive(0, &ask(0, Priority::Standard), 50.0, SECOND.into_iter()), Verdict::Go(1));
    assert_eq!(a.arrive(0, &ask(0, Priority::Standard), 50.0, NO_ROOM.into_iter()), wait(2_000.0));
}

#[test]
fn who_would_be_started_late_where_it_is_best_waits_here_for_it_or_goes_where_it_is_sooner() {
    let mut a = admission();
    let ask = ask(0, Priority::Standard);
    let at = |endpoint, queue_ms| Candidate { queue_ms, ..at(endpoint, 0.0) };
    let arrive = |a: &mut Admission, candidates: [Candidate; 2]| a.arrive(0, &ask, 50.0, candidates.into_iter());
    assert_eq!(arrive(&mut a, [at(0, 400.0), at(1, 0.0)]), Verdict::Go(0), "within four tenths of its second");
    let far = Candidate { ttft_ms: 460.0, ..at(1, 0.0) };
    assert_eq!(arrive(&mut a, [at(0, 401.0), far]), wait(2_000.0), "the other is no sooner");
    assert_eq!(arrive(&mut a, [at(0, 411.0), far]), Verdict::Go(1));
    let full = Candidate { in_flight: 4.0, ..at(0, 0.0) };
    assert_eq!(arrive(&mut a, [full, at(1, 300.0)]), Verdict::Go(1));
    // Who called and is late to this one is late to the next; who is not the best for this one may be for the next.
    let turn = |a: &mut Admission, caller| a.turn(0, &ask, 100.0, Some(caller), [at(0, 401.0), far].into_iter());
    assert_eq!(turn(&mut a, 0), Turn::Requeue { pass_on: false });
    assert_eq!(turn(&mut a, 1), Turn::Requeue { pass_on: true });
    // In overload a tenth is left, or what the prompt takes itself.
    a.queue_classes[0].waited_ms.insert((Priority::Standard, 0), 101.0);
    let second = |queue_ms, prefill_ms| [Candidate { prefill_ms, ..at(0, queue_ms) }];
    let turn = |a: &mut Admission, candidates: [Candidate; 1]| a.turn(0, &ask, 100.0, None, candidates.into_iter());
    assert_eq!(turn(&mut a, second(101.0, 40.0)), Turn::Requeue { pass_on: true });
    let verdict = a.turn(0, &ask, 100.0, None, [at(0, 411.0), far].into_iter());
    assert_eq!(verdict, Turn::Requeue { pass_on: true }, "nor does it go elsewhere");
    assert_eq!(turn(&mut a, second(150.0, 150.0)), Turn::Go(0));
    a.queue_classes[0].waited_ms.insert((Priority::Standard, 0), 101.0);
    assert_eq!(turn(&mut a, second(100.0, 40.0)), Turn::Go(0));
}

#[test]
fn who_comes_behind_others_has_the_endpoint_that_has_room_call_the_first_of_them() {
    let mut a = admission();
    a.wait(1, ask(0, Priority::Standard), [0].into_iter());
    let verdict = a.arrive(1, &ask(1, Priority::Standard), 50.0, [at(0, 4.0), at(1, 0.0)].into_iter());
    assert_eq!(verdict, Verdict::Wait { bound_ms: 2_000.0, room_at: Some(1), preempted: None });
}

#[test]
fn nobody_overtakes_those_who_wait_but_the_more_urgent() {
    let mut a = admission();
    a.wait(1, ask(0, Priority::Standard), [0, 1].into_iter());
    let arrive = |a: &mut Admission, p| a.arrive(1, &ask(1, p), 50.0, ROOM.into_iter());
    assert_eq!(arrive(&mut a, Priority::Interactive), Verdict::Go(0));
    assert!(matches!(arrive(&mut a, Priority::Standard), Verdict::Wait { .. }));
    assert!(matches!(arrive(&mut a, Priority::Batch), Verdict::Wait { .. }));
}

#[test]
fn an_endpoint_is_wanted_while_anybody_waits_for_what_it_serves() {
    let mut a = admission();
    assert!(!a.is_wanted(0) && !a.is_wanted(1));
    a.wait(1, AdmissionRequest { queue_class: 1, ..ask(0, Priority::Batch) }, [1].into_iter());
    assert!(!a.is_wanted(0) && a.is_wanted(1));
    assert!(a.leave(1) && !a.is_wanted(1));
}

#[test]
fn turns_go_by_priority_then_tenant_then_arrival() {
    let mut a = admission();
    a.wait(1, ask(0, Priority::Batch), [0, 1].into_iter());
    (2..5).for_each(|t| a.wait(t, ask(0, Priority::Standard), [0, 1].into_iter()));
    a.wait(5, ask(1, Priority::Standard), [0, 1].into_iter());
    a.wait(6, ask(0, Priority::Interactive), [0, 1].into_iter());
    assert_eq!((a.waiting(Priority::Standard), a.waiting(Priority::Batch)), (4, 1));
    let mut order = Vec::new();
    while let Some(ticket) = a.next(0, 0, 0.0) {
        let tenant = u32::from(ticket == 5);
        let priority = match ticket {
            1 => Priority::Batch,
            6 => Priority::Interactive,
            _ => Priority::Standard,
        };
        assert_eq!(a.turn(0, &ask(tenant, priority), 0.0, None, ROOM.into_iter()), Turn::Go(0));
        order.push(ticket);
    }
    assert_eq!(order, [6, 2, 5, 3, 4, 1]);
    assert!(a.is_empty() && a.waiting(Priority::Standard) == 0);
}

#[test]
fn an_endpoint_calls_those_of_its_lanes_only_and_the_longest_waiting_first() {
    let mut a = admission();
    a.wait(1, AdmissionRequest { queue_class: 1, ..ask(0, Priority::Standard) }, [0, 1].into_iter());
    a.wait(2, ask(0, Priority::Standard), [0, 1].into_iter());
    assert_eq!(a.next(0, 0, 0.0), Some(2));
    a.wait(3, ask(0, Priority::Standard), [0, 1].into_iter());
    assert_eq!((a.next(0, 1, 0.0), a.next(0, 1, 0.0), a.next(0, 1, 0.0)), (Some(1), Some(3), None));
}

#[test]
fn an_endpoint_calls_only_those_it_is_a_target_of() {
    let mut a = admission();
    a.wait(1, ask(1, Priority::Standard), [1].into_iter());
    a.wait(2, ask(2, Priority::Standard), [1, 0].into_iter());
    assert_eq!((a.next(0, 0, 0.0), a.next(0, 0, 0.0)), (Some(2), None));
    assert_eq!(a.next(0, 1, 0.0), Some(1));
    assert_eq!(a.turn(0, &ask(1, Priority::Standard), 0.0, None, NO_ROOM.into_iter()), Turn::Requeue { pass_on: true });
    a.put_back(1, ask(1, Priority::Standard), [0].into_iter());
    assert_eq!((a.next(0, 1, 0.0), a.next(0, 0, 0.0)), (None, Some(1)));
}

#[test]
fn the_first_in_turn_are_looked_at_again_each_once() {
    let mut a = admission();
    a.wait(1, ask(0, Priority::Batch), [].into_iter());
    a.wait(2, ask(0, Priority::Interactive), [].into_iter());
    a.wait(3, AdmissionRequest { queue_class: 1, ..ask(0, Priority::Standard) }, [].into_iter());
    assert!(a.look_again(0, |_| 4.0).is_empty(), "nothing has room");
    assert_eq!(a.look_again(0, |_| 3.0), [2, 1, 3]);
    assert!(a.look_again(0, |_| 3.0).is_empty() && a.is_empty());
}

#[test]
fn whoever_leaves_has_no_turn() {
    let mut a = admission();
    (1..4).for_each(|t| a.wait(t, ask(0, Priority::Standard), [0, 1].into_iter()));
    assert!(a.leave(1) && a.leave(3) && !a.leave(3));
    assert_eq!((a.next(0, 0, 0.0), a.next(0, 0, 0.0)), (Some(2), None));
    assert!(!a.leave(2), "its turn has come");
}

#[test]
fn whoever_would_wait_too_long_is_told_when_to_come_back() {
    let mut a = flowing();
    (0..99).for_each(|t| {
        a.wait(t, AdmissionRequest { wait_max_ms: 1e9, ..ask(0, Priority::Standard) }, [0, 1].into_iter())
    });
    let short = AdmissionRequest { wait_max_ms: 500.0, ..ask(0, Priority::Standard) };
    let Verdict::Refuse(ms) = a.arrive(10_000, &short, 50.0, NO_ROOM.into_iter()) else { panic!() };
    assert!((450..=550).contains(&ms), "a hundred ahead at a hundred a second, half a second too long: {ms}");
    let Verdict::Refuse(later) =
        a.arrive(10_000, &AdmissionRequest { jitter: 1.0, ..short }, 50.0, NO_ROOM.into_iter())
    else {
        panic!()
    };
    assert!((1.45..1.55).contains(&(later as f64 / ms as f64)), "{later} {ms}");
    let other = AdmissionRequest { from: From { tenant: 7, session: 0 }, ..short };
    assert!(
        matches!(a.arrive(10_000, &other, 50.0, NO_ROOM.into_iter()), Verdict::Wait { .. }),
        "its turn comes sooner"
    );
    a.wait(99, ask(0, Priority::Standard), [0, 1].into_iter());
    let patient = AdmissionRequest { wait_max_ms: 1e9, ..other };
    assert!(matches!(a.arrive(10_000, &patient, 50.0, NO_ROOM.into_iter()), Verdict::Refuse(_)), "the queue is full");
    let urgent = AdmissionRequest { priority: Priority::Interactive, ..patient };
    assert!(matches!(a.arrive(10_000, &urgent, 50.0, NO_ROOM.into_iter()), Verdict::Wait { .. }));
}

#[test]
fn after_a_quiet_time_nobody_is_sent_away_on_a_guess() {
    let mut a = flowing();
    // A minute after the last one went, as where an engine of few places is at long answers.
    let verdict = a.arrive(70_000, &ask(0, Priority::Standard), 50.0, NO_ROOM.into_iter());
    assert_eq!(verdict, wait(2_000.0));
}

#[test]
fn where_waits_endanger_the_objective_nobody_waits_beyond_it() {
    let mut a = flowing();
    let of = |a: &mut Admission| a.arrive(10_000, &ask(0, Priority::Standard), 700.0, NO_ROOM.into_iter());
    assert_eq!(of(&mut a), wait(2_000.0), "a burst");
    let serve = |a: &mut Admission, waited_ms| {
        (0..200).for_each(|_| {
            assert_eq!(a.turn(10_000, &ask(0, Priority::Standard), waited_ms, None, ROOM.into_iter()), Turn::Go(0))
        });
    };
    serve(&mut a, 600.0);
    assert_eq!(of(&mut a), wait(200.0), "overload");
    serve(&mut a, 100.0);
    assert_eq!(of(&mut a), wait(200.0), "still");
    serve(&mut a, 20.0);
    assert_eq!(of(&mut a), wait(2_000.0), "it is over");
}

#[test]
fn what_was_charged_is_set_right_at_the_end() {
    let mut a = admission();
    for t in 0..2 {
        a.wait(t, ask(t as u32, Priority::Standard), [0, 1].into_iter());
        a.wait(10 + t, ask(t as u32, Priority::Standard), [0, 1].into_iter());
    }
    for expected in [0, 1] {
        assert_eq!(a.next(0, 0, 0.0), Some(expected));
        a.turn(0, &ask(expected as u32, Priority::Standard), 0.0, None, ROOM.into_iter());
    }
    a.settle(&ask(0, Priority::Standard), 5_000.0);
    assert_eq!(a.next(0, 0, 0.0), Some(11), "tenant 0 got far more than was thought");
}

#[test]
fn who_can_wait_leaves_room_for_who_cannot_where_such_have_come() {
    let windows = alloc::vec![Window::new(20.0)];
    let mut a = Admission::new(windows, alloc::vec![alloc::vec![0]], 1, 100);
    let arrive = |a: &mut Admission, ms, p, own: f64| a.arrive(ms, &ask(0, p), 50.0, [at(0, own)].into_iter());
    assert_eq!(arrive(&mut a, 0, Priority::Batch, 19.0), Verdict::Go(0), "nobody else has come");
    assert_eq!(arrive(&mut a, 1_000, Priority::Standard, 19.0), Verdict::Go(0));
    assert_eq!(arrive(&mut a, 2_000, Priority::Batch, 17.0), Verdict::Go(0));
    assert_eq!(arrive(&mut a, 2_000, Priority::Batch, 18.0), wait(2_000.0));
    a.wait(1, ask(0, Priority::Batch), [0].into_iter());
    assert_eq!((a.next(3_000, 0, 18.0), a.next(3_000, 0, 17.0)), (None, Some(1)));
    assert_eq!(arrive(&mut a, 3_000, Priority::Standard, 19.0), Verdict::Go(0));
    assert_eq!(arrive(&mut a, 20_000, Priority::Batch, 19.0), Verdict::Go(0), "long ago");
}

#[test]
fn what_is_overload_to_one_is_none_to_others() {
    let mut a = flowing();
    for _ in 0..1_000 {
        a.arrive(10_000, &ask(1, Priority::Standard), 400.0, NO_ROOM.into_iter());
    }
    for i in 0..200 {
        let (loud, waited_ms) = (ask(1, Priority::Standard), 900.0);
        a.wait(i, loud, [0].into_iter());
        let ticket = a.next(10_000, 0, 0.0);
        assert!(ticket == Some(i) && a.turn(10_000, &loud, waited_ms, None, ROOM.into_iter()) == Turn::Go(0));
    }
    let arrive = |a: &mut Admission, ask| a.arrive(10_000, &ask, 400.0, NO_ROOM.into_iter());
    assert_eq!(arrive(&mut a, ask(1, Priority::Standard)), wait(500.0), "what the objective leaves");
    assert_eq!(arrive(&mut a, ask(2, Priority::Standard)), wait(2_000.0), "its patience");
    assert_eq!(arrive(&mut a, ask(1, Priority::Interactive)), wait(2_000.0));
    // Nor does it go where it would be late, unless that is the best there is.
    let late = Candidate { ttft_ms: 1_001.0, ..at(1, 0.0) };
    let turn = |a: &mut Admission, tenant, candidates: &[Candidate]| {
        a.turn(10_000, &ask(tenant, Priority::Standard), 900.0, None, candidates.iter().copied())
    };
    assert_eq!(turn(&mut a, 1, &[at(0, 4.0), late]), Turn::Requeue { pass_on: true });
    assert_eq!(turn(&mut a, 1, &[late]), Turn::Go(0));
    assert_eq!(turn(&mut a, 2, &[at(0, 4.0), late]), Turn::Go(1));
}

#[test]
fn who_asks_for_less_than_its_share_comes_first_and_is_in_overload_later() {
    let mut a = admission();
    let (quiet, loud) = (ask(1, Priority::Standard), ask(2, Priority::Standard));
    // One has a third of what there is and wants no more; the other wants six times what it has.
    for i in 0..6_000 {
        let (ask, room) = if i % 12 == 0 { (&quiet, &ROOM[..]) } else { (&loud, &NO_ROOM[..]) };
        a.arrive(i * 10, ask, 50.0, room.iter().copied());
        if i % 6 == 5 {
            a.arrive(i * 10, &loud, 50.0, ROOM.into_iter());
        }
    }
    let waited = |a: &mut Admission, tenant, ms| a.queue_classes[0].waited_ms.insert((Priority::Standard, tenant), ms);
    waited(&mut a, 1, 500.0);
    waited(&mut a, 2, 500.0);
    let now_ms = 60_000;
    assert_eq!(a.arrive(now_ms, &loud, 50.0, NO_ROOM.into_iter()), wait(850.0));
    assert_eq!(a.arrive(now_ms, &quiet, 50.0, NO_ROOM.into_iter()), wait(2_000.0));
    waited(&mut a, 1, 501.0);
    assert_eq!(a.arrive(now_ms, &quiet, 50.0, NO_ROOM.into_iter()), wait(850.0), "its places have less than its share");
    waited(&mut a, 1, 500.0);
    a.wait(1, loud, [0].into_iter());
    a.wait(2, quiet, [0].into_iter());
    a.wait(3, quiet, [0].into_iter());
    assert_eq!([(); 3].map(|()| a.next(now_ms, 0, 0.0)), [Some(2), Some(3), Some(1)]);
    // Whoever comes after finds hardly more before it than a tenth of the time of its prompt.
    let turn = |a: &mut Admission, ask, queue_ms| {
        let there = Candidate { queue_ms, prefill_ms: 200.0, ..at(0, 0.0) };
        a.turn(now_ms, ask, 10.0, None, [there].into_iter())
    };
    assert_eq!(turn(&mut a, &loud, 21.0), Turn::Requeue { pass_on: true });
    assert_eq!(turn(&mut a, &loud, 20.0), Turn::Go(0));
    assert_eq!(turn(&mut a, &quiet, 400.0), Turn::Go(0));
}

#[test]
fn nobody_is_told_to_come_back_before_the_first_endpoint_is_free_again() {
    let mut a = admission();
    a.window_mut(0).busy(0, Some(9_000));
    a.window_mut(1).busy(0, Some(5_000));
    let idle = [at(0, 0.0), at(1, 0.0)];
    assert_eq!(a.arrive(0, &ask(0, Priority::Standard), 50.0, idle.into_iter()), Verdict::Refuse(5_000));
    assert_eq!(a.arrive(3_500, &ask(0, Priority::Standard), 50.0, idle.into_iter()), wait(2_000.0));
    assert_eq!(a.arrive(5_000, &ask(0, Priority::Standard), 50.0, idle.into_iter()), Verdict::Go(1));
}

#[test]
fn who_waits_stays_where_it_is_when_endpoints_and_lanes_are_added() {
    let mut a = flowing();
    let other = AdmissionRequest { queue_class: 2, ..ask(1, Priority::Standard) };
    a.wait(1, ask(0, Priority::Standard), [0, 1].into_iter());
    let windows = alloc::vec![*a.window(0), Window::new(1.0), Window::new(9.0)];
    let serves = alloc::vec![alloc::vec![0, 2], alloc::vec![0, 1], alloc::vec![2]];
    a.reconfigure(windows, serves, 3, 1);
    assert_eq!(a.waiting(Priority::Standard), 1);
    assert!(matches!(a.arrive(10_000, &other, 50.0, [at(1, 1.0)].into_iter()), Verdict::Refuse(_)), "one may wait");
    assert_eq!(a.arrive(10_000, &other, 50.0, [at(1, 1.0), at(2, 8.0)].into_iter()), Verdict::Go(1));
    assert_eq!((a.next(10_000, 2, 0.0), a.next(10_000, 0, 0.0)), (None, Some(1)));
}

const fn expected(begins_ms: f64, prefill_ms: f64, delays_ms: f64) -> Expected {
    Expected { begins_ms, prefill_ms, delays_ms }
}

#[test]
fn batch_work_that_has_not_begun_gives_way_to_who_would_then_go_at_once() {
    let mut a = admission();
    let arrive = |a: &mut Admission, now_ms, priority, candidates: [Candidate; 2]| match a.arrive(
        now_ms,
        &ask(0, priority),
        50.0,
        candidates.into_iter(),
    ) {
        Verdict::Wait { preempted, .. } => preempted.map(|p| (p.endpoint, p.number)),
        other => panic!("{other:?}"),
    };
    // The first has its places taken, one of them by a long prompt; the second is kept busy by that of another.
    a.preemptible(0, 0, &expected(3_000.0, 2_000.0, 0.0));
    a.preemptible(0, 0, &expected(3_000.0, 2_000.0, 2_000.0));
    a.preemptible(0, 1, &expected(9_000.0, 8_000.0, 8_000.0));
    let busy = |endpoint, in_flight, queue_ms| Candidate { queue_ms, ..at(endpoint, in_flight) };
    let both = [busy(0, 4.0, 2_000.0), busy(1, 1.0, 8_300.0)];
    assert_eq!(arrive(&mut a, 1_000, Priority::Interactive, both), Some((0, 2)), "what keeps others waiting longest");
    assert_eq!(arrive(&mut a, 1_000, Priority::Standard, both), Some((0, 2)));
    assert_eq!(arrive(&mut a, 1_000, Priority::Batch, both), None, "not to its like");
    assert_eq!(arrive(&mut a, 2_000, Priority::Interactive, both), Some((1, 3)), "half of the other is done");
    assert_eq!(arrive(&mut a, 5_000, Priority::Interactive, both), None);
    let crowded = [busy(0, 5.0, 2_000.0), busy(1, 1.0, 8_500.0)];
    assert_eq!(arrive(&mut a, 1_000, Priority::Interactive, crowded), None, "it would not help");
    a.begun(0, 2);
    assert_eq!(arrive(&mut a, 1_000, Priority::Interactive, both), Some((1, 3)));
    a.wait(1, ask(0, Priority::Interactive), [0, 1].into_iter());
    assert_eq!(arrive(&mut a, 1_000, Priority::Interactive, both), None, "the place would be another's");
}

#[test]
fn batch_work_does_not_give_way_where_the_other_would_not_go_anyway() {
    let mut a = admission();
    a.preemptible(0, 1, &expected(9_000.0, 100.0, 100.0));
    let arrive = |a: &mut Admission, ask: AdmissionRequest, far_ms| {
        let near = Candidate { queue_ms: 600.0, ..at(0, 0.0) };
        let far = Candidate { in_flight: 1.0, queue_ms: 100.0, crowd_ms: 200.0, ttft_ms: far_ms, ..at(1, 0.0) };
        a.arrive(0, &ask, 50.0, [near, far].into_iter())
    };
    let person = ask(0, Priority::Interactive);
    assert_eq!(arrive(&mut a, person, 700.0), wait(2_000.0), "the near one is sooner even so");
    assert_eq!(arrive(&mut a, person, 500.0), Verdict::Go(1), "here it goes without");
    // In overload those where it would be late are none.
    a.queue_classes[0].waited_ms.insert((Priority::Interactive, 0), 600.0);
    assert!(!matches!(arrive(&mut a, person, 1_100.0), Verdict::Wait { preempted: Some(_), .. }));
    // Where a place at the only other is made for it, it goes there, if it stays for that.
    let full = [Candidate { in_flight: 4.0, ..at(1, 0.0) }];
    let mut b = admission();
    b.preemptible(0, 1, &expected(9_000.0, 100.0, 100.0));
    let hasty = AdmissionRequest { wait_max_ms: 20.0, ..person };
    assert!(!matches!(b.arrive(0, &hasty, 50.0, full.into_iter()), Verdict::Wait { preempted: Some(_), .. }));
    let preempted = Some(Preempted { endpoint: 1, number: 1 });
    assert_eq!(
        b.arrive(0, &person, 50.0, full.into_iter()),
        Verdict::Wait { bound_ms: 2_000.0, room_at: None, preempted }
    );
}

#[test]
fn what_others_may_have_sent_goes_with_the_prompt_that_it_was_taken_from() {
    let mut a = admission();
    a.preemptible(0, 0, &expected(9_000.0, 8_000.0, 8_000.0));
    let shared = [Candidate { queue_ms: 8_000.0, crowd_ms: 16_000.0, ..at(0, 1.0) }];
    let verdict = a.arrive(0, &ask(0, Priority::Interactive), 50.0, shared.into_iter());
    assert!(matches!(verdict, Verdict::Wait { preempted: Some(_), .. }), "{verdict:?}");
}
