"""Sidecars in the forms in which photo programs write them."""

DARKTABLE = """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:exif="http://ns.adobe.com/exif/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:darktable="http://darktable.sf.net/"
   exif:DateTimeOriginal="2026:05:01 12:00:00"
   xmp:Rating="{rating}"
   darktable:xmp_version="5"
   darktable:history_end="2">
   <darktable:history>
    <rdf:Seq>
     <rdf:li
      darktable:num="0"
      darktable:operation="exposure"
      darktable:params="gz02eJxjYGBgYAZiAAAEEAAE&#x41;"/>
    </rdf:Seq>
   </darktable:history>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

ADOBE = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="uuid:12 &amp; 'x'"
    xmlns:xmp='http://ns.adobe.com/xap/1.0/'
    xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
    xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/"
    xmp:CreatorTool="Camera &gt; Raw"
    xmp:Rating='{rating}'
    crs:Exposure2012="+0.35">
   <xmpMM:Pantry><rdf:Bag><rdf:li>
    <rdf:Description xmp:Rating="1" xmpMM:InstanceID="xmp.iid:1"/>
   </rdf:li></rdf:Bag></xmpMM:Pantry>
   <!-- a comment with xmp:Rating="2" in it -->
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""

DIGIKAM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
 <rdf:Description rdf:about="" xmlns:digiKam="http://www.digikam.org/ns/1.0/">
  <digiKam:TagsList><rdf:Seq><rdf:li>Orte/Köln</rdf:li></rdf:Seq></digiKam:TagsList>
 </rdf:Description>
 <rdf:Description rdf:about="" xmlns:a="http://ns.adobe.com/xap/1.0/">
  <a:Rating>{rating}</a:Rating>
  <a:Label/>
 </rdf:Description>
</rdf:RDF>
</x:xmpmeta>
                                   \n<?xpacket end="w"?>"""

WITH_RATING = {"darktable": DARKTABLE, "adobe": ADOBE, "digikam": DIGIKAM}

RDF_NS = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
WITHOUT_RATING = {
    "empty RDF": f"<rdf:RDF {RDF_NS}/>",
    "other prefixes": f"""<r:RDF {RDF_NS.replace(":rdf", ":r")} xmlns:nima="urn:theirs">
  <r:Description r:about="" nima:Score = "theirs"
    xmlns:xmp="urn:not-xmp" xmp:Rating="5"/></r:RDF>""",
    "default namespace": f"""<RDF {RDF_NS.replace(":rdf", "")}>
      <Description about="" xmlns:dc="urn:dc"><dc:title>ü</dc:title></Description>
    </RDF>""",
    "empty rating": f"""<rdf:RDF {RDF_NS}><rdf:Description rdf:about=""
      xmlns:xmp="http://ns.adobe.com/xap/1.0/"><xmp:Rating/></rdf:Description></rdf:RDF>""",
}
