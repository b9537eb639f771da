//! Whether an act helped is journalled with it, half a minute and five minutes later.

use electrumx_warden::sim::Release;

use crate::scene::{Scene, evil, executed};

#[tokio::test]
async fn an_act_is_followed_for_five_minutes_and_no_other() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.client("good/1", 1);
    scene.client("evil/1", 2);
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert_eq!(scene.rows()[0].relief, None);
    for _ in 0..3 {
        scene.good_poll().await;
    }
    let relief = scene.rows()[0].relief.unwrap();
    assert_eq!(relief.before.clients.sessions, 2);
    assert_eq!(relief.before.target.map(|it| it.sessions), Some(1));
    let soon = relief.soon.unwrap();
    assert_eq!(soon.clients.sessions, 1);
    assert_eq!(soon.target.map(|it| it.sessions), Some(0));
    assert_eq!(relief.later, None);
    for _ in 0..27 {
        scene.good_poll().await;
    }
    let last = scene.rows()[0].relief.unwrap();
    assert_eq!((last.before, last.soon), (relief.before, relief.soon));
    assert_eq!(last.later.map(|it| it.clients.sessions), Some(1));
    assert_eq!(scene.rows().len(), 1);
}
