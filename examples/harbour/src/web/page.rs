//! The page itself.

use std::fmt::Write;

use serde_json::Value;

const HEAD: &str = include_str!("page/head.html");

/// The harbour with its berths; prices are in the berths' order.
pub(super) fn front(version: &str, berths: &[Value], prices: &[u64], notice: &str) -> String {
    let mut page = top(version);
    if !notice.is_empty() {
        let _ = write!(page, "<p class=notice role=alert>{}</p>", escaped(notice));
    }
    page.push_str("<section class=berths aria-label=Berths>");
    for (berth, price) in berths.iter().zip(prices) {
        page.push_str(&card(berth, *price));
    }
    page.push_str("</section>");
    page.push_str(&form(berths));
    page.push_str("</main></body></html>\n");
    page
}

/// The page when booking or pricing do not answer.
pub(super) fn closed(version: &str) -> String {
    let mut page = top(version);
    page.push_str(
        "<p class=notice role=alert>The harbour office does not answer just now; try again in a moment.</p>",
    );
    page.push_str("</main></body></html>\n");
    page
}

fn top(version: &str) -> String {
    HEAD.replace("{version}", &escaped(version))
}

fn card(berth: &Value, price_cents: u64) -> String {
    let name = escaped(text(&berth["name"]));
    let booking = &berth["booking"];
    let length = &berth["length_m"];
    if booking.is_null() {
        return format!(
            "<article class=free><h2>{name}</h2><p class=state>free</p><p>up to {length} m</p>\
             <p class=price>{} a night</p></article>",
            euros(price_cents)
        );
    }
    format!(
        "<article class=taken><h2>{name}</h2><p class=state>⛵ {ship}</p><p>{ship_length} m, {nights} nights</p>\
         <form method=post action=/bookings/{id}/cancel><button>cast off</button></form></article>",
        ship = escaped(text(&booking["ship"])),
        ship_length = booking["length_m"],
        nights = booking["nights"],
        id = booking["id"],
    )
}

fn form(berths: &[Value]) -> String {
    let free = berths.iter().filter(|berth| berth["booking"].is_null());
    let options: String = free
        .map(|berth| {
            format!(
                "<option value=\"{0}\">{0}, up to {1} m",
                escaped(text(&berth["name"])),
                berth["length_m"]
            )
        })
        .collect();
    format!(
        "<form class=book method=post action=/bookings><h2>Book a berth</h2>\
         <label>Ship <input name=ship required maxlength=40></label>\
         <label>Length in m <input name=length_m type=number min=1 max=45 value=8 required></label>\
         <label>Nights <input name=nights type=number min=1 max=30 value=1 required></label>\
         <label>Berth <select name=berth>{options}</select></label><button>Book</button></form>"
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn euros(cents: u64) -> String {
    format!("€ {}.{:02}", cents / 100, cents % 100)
}

/// Text that is shown as it is, whatever a ship is called.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests;
