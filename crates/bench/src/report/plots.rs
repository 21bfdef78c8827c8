//! Three plots, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Figures;
use crate::server::Kind;

const SIZE: (u32, u32) = (760, 380);

const BLUE: RGBColor = RGBColor(38, 102, 172);
const ORANGE: RGBColor = RGBColor(217, 119, 38);
const GREY: RGBColor = RGBColor(120, 120, 120);

/// A bar of one part, or of two.
struct Bar {
    name: String,
    lower: f64,
    /// On top of it.
    upper: f64,
}

/// Draws what there are figures for; names of the files.
pub(super) fn draw(figures: &Figures, dir: &Path) -> Result<Vec<&'static str>> {
    let mut drawn = Vec::new();
    if !figures.idle.is_empty() {
        let bars: Vec<_> = figures
            .idle
            .iter()
            .map(|idle| Bar { name: idle.server.name().into(), lower: idle.bytes_per_link, upper: 0.0 })
            .collect();
        drawn.push(draw_bars(dir, "bytes-per-link.svg", "User-space bytes per idle link", &bars)?);
    }
    if !figures.routed.is_empty() {
        let bars: Vec<_> = figures
            .routed
            .iter()
            .map(|routed| {
                let (all, ledger) =
                    (routed.saturation.cpu_us_per_request, routed.saturation.ledger_us_per_request);
                Bar { name: routed.server.name().into(), lower: all - ledger, upper: ledger }
            })
            .collect();
        let title = "Server CPU per request at saturation, µs (orange: the ledger's thread)";
        drawn.push(draw_bars(dir, "cpu-per-request.svg", title, &bars)?);
        drawn.push(draw_latency(figures, dir, "latency.svg")?);
    }
    Ok(drawn)
}

fn draw_bars(dir: &Path, file: &'static str, title: &str, bars: &[Bar]) -> Result<&'static str> {
    let path = dir.join(file);
    let area = canvas(&path)?;
    let top = bars.iter().map(|bar| bar.lower + bar.upper).fold(1.0, f64::max) * 1.15;
    let count = f64::from(u32::try_from(bars.len())?);
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(12)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..count, 0.0..top)
        .map_err(said)?;
    chart.configure_mesh().disable_x_mesh().disable_x_axis().draw().map_err(said)?;
    let centred = Pos::new(HPos::Center, VPos::Bottom);
    let label = TextStyle::from(("sans-serif", 14).into_font()).pos(centred);
    for (left, bar) in (0_u32..).map(f64::from).zip(bars) {
        let (from, to, all) = (left + 0.2, left + 0.8, bar.lower + bar.upper);
        let lower = Rectangle::new([(from, 0.0), (to, bar.lower)], BLUE.filled());
        let upper = Rectangle::new([(from, bar.lower), (to, all)], ORANGE.filled());
        chart.draw_series([lower, upper]).map_err(said)?;
        let figure =
            if all < 100.0 { format!("{}: {all:.1}", bar.name) } else { format!("{}: {all:.0}", bar.name) };
        let above = (left + 0.5, all + top * 0.02);
        chart.draw_series([Text::new(figure, above, label.clone())]).map_err(said)?;
    }
    area.present().map_err(said)?;
    Ok(file)
}

/// Quantiles over nines: 90 %, 99 %, 99.9 % are equally far from each other.
fn draw_latency(figures: &Figures, dir: &Path, file: &'static str) -> Result<&'static str> {
    let path = dir.join(file);
    let area = canvas(&path)?;
    let slowest = figures.routed.iter().flat_map(|routed| &routed.latency.curve).map(|(_, micros)| *micros);
    let top = slowest.fold(100.0, f64::max);
    let per_s = figures.routed.first().map_or(0, |routed| routed.latency.per_s);
    let title = format!("Latency at {per_s} requests/s, open loop, µs");
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..4.0, (10.0..top * 1.2).log_scale())
        .map_err(said)?;
    chart
        .configure_mesh()
        .x_labels(5)
        .x_label_formatter(&|nines| format!("{} %", 100.0 - 10_f64.powf(2.0 - nines)))
        .x_desc("share of the requests")
        .draw()
        .map_err(said)?;
    for routed in &figures.routed {
        let colour = match routed.server {
            Kind::Raw => GREY,
            Kind::Plain => ORANGE,
            Kind::Tillgate | Kind::TillgateTls => BLUE,
        };
        let points = routed.latency.curve.iter().map(|(share, micros)| (-(1.0 - share).log10(), *micros));
        chart
            .draw_series(LineSeries::new(points, colour.stroke_width(2)))
            .map_err(said)?
            .label(routed.server.name())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .draw()
        .map_err(said)?;
    area.present().map_err(said)?;
    Ok(file)
}

fn canvas(path: &Path) -> Result<DrawingArea<SVGBackend<'_>, Shift>> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(said)?;
    Ok(area)
}

/// The library's errors borrow what they are about.
fn said(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
