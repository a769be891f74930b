//! What every format must hold.

use super::example;
use super::*;

#[test]
fn dump() {
    let view = view(&example::evidence(), &example::measured(), &example::judged());
    for format in Format::ALL {
        std::fs::write(format!("/tmp/report/{}", format.file()), format.render(&view).unwrap()).unwrap();
    }
}
