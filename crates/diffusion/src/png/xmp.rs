//! The mark of a picture that a trained model made, where software that honours it looks.
//!
//! IPTC Photo Metadata Standard 2023.1, "Digital Source Type", in XMP (ISO 16684-1); its place in a PNG is from the XMP
//! Specification, part 3, section 1.1.5.

/// Keyword of the `iTXt` chunk, which is never compressed.
pub(super) const KEYWORD: &str = "XML:com.adobe.xmp";

/// The packet. Its `begin` attribute holds U+FEFF.
pub(super) const PACKET: &str = concat!(
    "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n",
    "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n",
    "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">\n",
    "<rdf:Description rdf:about=\"\"",
    " xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\"",
    " xmlns:Iptc4xmpExt=\"http://iptc.org/std/Iptc4xmpExt/2008-02-29/\"",
    " xmp:CreatorTool=\"Demo Hub\"",
    " Iptc4xmpExt:DigitalSourceType=\"http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia\"/>\n",
    "</rdf:RDF>\n",
    "</x:xmpmeta>\n",
    "<?xpacket end=\"r\"?>",
);
