//! Receipts that a terminal leaves to the POS to print.

use serde::{Deserialize, Serialize};

use crate::{sale_data::null_as_default, words::words};

/// One receipt to print.
///
/// Source: nexo Sale to POI protocol 3.0, `PaymentReceipt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PaymentReceipt {
    /// For whom it is.
    pub document_qualifier: DocumentQualifier,
    /// Whether the customer has to sign it; absent means no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_signature_flag: Option<bool>,
    /// What to print.
    pub output_content: OutputContent,
}

words! {
    /// `DocumentQualifier`: for whom a document is. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `PaymentReceipt.DocumentQualifier`.
    DocumentQualifier {
        CASHIER_RECEIPT = "CashierReceipt",
        CUSTOMER_RECEIPT = "CustomerReceipt",
        DOCUMENT = "Document",
        JOURNAL = "Journal",
        SALE_RECEIPT = "SaleReceipt",
        VOUCHER = "Voucher",
    }
}

/// What to show or print.
///
/// Source: nexo Sale to POI protocol 3.0, `OutputContent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OutputContent {
    /// Which of the forms the content has.
    pub output_format: OutputFormat,
    /// The lines, when the format is text.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub output_text: Vec<OutputText>,
}

impl OutputContent {
    /// Plain lines.
    pub fn text(lines: Vec<OutputText>) -> Self {
        Self { output_format: OutputFormat::TEXT, output_text: lines }
    }
}

words! {
    /// `OutputFormat`: which form an output has. An open set.
    ///
    /// Source: nexo Sale to POI protocol 3.0, `OutputContent.OutputFormat`.
    OutputFormat {
        BAR_CODE = "BarCode",
        MESSAGE_REF = "MessageRef",
        TEXT = "Text",
        XHTML = "XHTML",
    }
}

/// One piece of text.
///
/// Source: nexo Sale to POI protocol 3.0, `OutputText`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OutputText {
    /// On a receipt form pairs `name`, `value` and `key`, such as `name=Date&value=20%2f11%2f26&key=txdate`.
    pub text: String,
    /// `Normal`, `Bold`, `Italic` or `Underline`; absent means normal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub character_style: Option<String>,
    /// Whether the line ends here; absent means that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_line_flag: Option<bool>,
}

impl OutputText {
    /// A whole line in the normal style.
    pub fn line(text: impl Into<String>) -> Self {
        Self { text: text.into(), character_style: None, end_of_line_flag: Some(true) }
    }
}
