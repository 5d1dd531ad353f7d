//! What a browser is given.

use serde_json::json;

use super::front;

#[test]
fn ships_berths_prices_and_the_version_are_on_the_page() {
    let berths = [
        json!({ "name": "A1", "length_m": 8, "booking": null }),
        json!({ "name": "A2", "length_m": 9, "booking": { "id": 7, "ship": "Argo", "length_m": 9, "nights": 2 } }),
    ];
    let page = front("v7", &berths, &[1250, 1300], "");
    for part in ["v7", "A1", "€ 12.50 a night", "Argo", "action=/bookings/7/cancel", "<option value=\"A1\">"]
    {
        assert!(page.contains(part), "`{part}` is not in {page}");
    }
    assert!(!page.contains("<option value=\"A2\">"));
}

#[test]
fn a_ship_cannot_write_html() {
    let booking = json!({ "id": 1, "ship": "<script>alert(1)</script>", "length_m": 1, "nights": 1 });
    let berths = [json!({ "name": "A1", "length_m": 8, "booking": booking })];
    assert!(!front("v1", &berths, &[1], "<b>").contains("<script>"));
}
