/** What runs in a report's page: the map that moves, and the line through all charts. Plain JavaScript, no library. */
export const mapScript = `
const {names,layers,box,zones,times,flows}=report
const raw=Uint8Array.from(atob(report.rows),c=>c.charCodeAt(0)),view=new DataView(raw.buffer)
const el=id=>document.getElementById(id)
const canvas=el('map'),g=canvas.getContext('2d'),slider=el('slider'),play=el('play')
const small=names.length<=64,pad=small?90:40
const dark=matchMedia('(prefers-color-scheme: dark)')
const css=name=>getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const hue=start=>215+150*start/Math.max(1,layers)
const row=(frame,i)=>{const at=(frame*names.length+i)*10
return{x:view.getUint16(at)/65535,y:view.getUint16(at+2)/65535,state:view.getUint8(at+4),level:view.getUint8(at+5),start:view.getUint16(at+6),end:view.getUint16(at+8)}}
const w=canvas.width-2*pad,h=canvas.height-2*pad
const spanX=box.x1-box.x0||1,spanY=box.y1-box.y0||1,k=Math.min(w/spanX,h/spanY)
const ox=pad+(w-k*spanX)/2,oy=pad+(h-k*spanY)/2
const px=x=>ox+x*spanX*k,py=y=>oy+(1-y)*spanY*k
const metres=(x,y)=>[ox+(x-box.x0)*k,oy+(box.y1-y)*k]
function scaleBar(){let m=1;for(const f of[1,2,5,10,20,50,100,200,500,1000,2000,5000,10000])if(f*k<=360)m=f
g.strokeStyle=css('--dim');g.fillStyle=css('--dim');g.lineWidth=3;g.beginPath();g.moveTo(24,canvas.height-24);g.lineTo(24+m*k,canvas.height-24);g.stroke()
g.font='22px system-ui';g.fillText(m>=1000?m/1000+' km':m+' m',24,canvas.height-34)}
function draw(t){
if(times.length===0)return
let f=0;while(f<times.length-1&&times[f+1]<=t)f++
const n=Math.min(f+1,times.length-1),share=n===f?0:Math.min(1,Math.max(0,(t-times[f])/(times[n]-times[f])))
el('time').textContent=Math.floor(t/60000)+':'+String(Math.floor(t/1000)%60).padStart(2,'0')
g.clearRect(0,0,canvas.width,canvas.height)
const ink=css('--ink'),dim=css('--dim'),bad=css('--bad')
for(const z of zones){const s=t/1000;if(s<z.fromS||s>=z.untilS)continue
const [x,y]=metres(z.x+z.dx*(s-z.fromS),z.y+z.dy*(s-z.fromS))
g.beginPath();g.arc(x,y,z.radiusM*k,0,7);g.fillStyle=bad;g.globalAlpha=.13;g.fill();g.globalAlpha=1;g.strokeStyle=bad;g.lineWidth=2;g.setLineDash([10,8]);g.stroke();g.setLineDash([])}
const at=names.map((_,i)=>{const a=row(f,i),b=row(n,i);return{...a,px:px(a.x+(b.x-a.x)*share),py:py(a.y+(b.y-a.y)*share)}})
const most=Math.max(1,...flows[f].map(x=>x[2]))
for(const [from,to,bytes] of flows[f]){const a=at[from],b=at[to]
// A way to the right of the middle, so that both directions are seen.
const dx=b.px-a.px,dy=b.py-a.py,len=Math.hypot(dx,dy)||1,cx=(a.px+b.px)/2-dy/len*26,cy=(a.py+b.py)/2+dx/len*26
g.beginPath();g.moveTo(a.px,a.py);g.quadraticCurveTo(cx,cy,b.px,b.py);g.strokeStyle=css('--a');g.globalAlpha=.25+.6*bytes/most;g.lineWidth=1.5+6*bytes/most;g.stroke();g.globalAlpha=1}
const r=small?15:7,taken=[]
at.forEach((p,i)=>{
g.beginPath();g.arc(p.px,p.py,r,0,7)
const serves=p.start!==65535&&(p.state===0||p.state===2)
if(p.state===1){g.strokeStyle=dim;g.lineWidth=2;g.beginPath();g.moveTo(p.px-r*.7,p.py-r*.7);g.lineTo(p.px+r*.7,p.py+r*.7);g.moveTo(p.px-r*.7,p.py+r*.7);g.lineTo(p.px+r*.7,p.py-r*.7);g.stroke()}
else if(p.state===3){g.fillStyle=css('--good');g.fill()}
else{g.fillStyle=serves?'hsl('+hue(p.start)+' 62% '+(dark.matches?58:44)+'%)':css('--c');g.fill()
if(!serves){g.beginPath();g.arc(p.px,p.py,r*.5,0,7);g.fillStyle=css('--card');g.fill()}}
if(p.state===2){g.beginPath();g.arc(p.px,p.py,r+5,0,7);g.strokeStyle=css('--b');g.lineWidth=4;g.stroke()}
if(p.level!==255&&small){g.beginPath();g.arc(p.px,p.py,r+5,-Math.PI/2,-Math.PI/2+2*Math.PI*p.level/100);g.strokeStyle=p.level<25?bad:css('--good');g.lineWidth=3;g.stroke()}})
if(!small){scaleBar();return}
g.font='22px system-ui'
at.forEach((p,i)=>{
const text=names[i]+(p.state===1?' down':p.state===3?' charging':p.start!==65535?' '+p.start+'-'+p.end:''),width=g.measureText(text).width
// The first place beside the peer where no other label is.
for(const [x,y] of[[p.px+r+9,p.py+8],[p.px-r-9-width,p.py+8],[p.px-width/2,p.py-r-12],[p.px-width/2,p.py+r+28],[p.px+r+9,p.py+34],[p.px+r+9,p.py-18]]){
if(x<4||x+width>canvas.width-4)continue
if(taken.some(b=>x<b[0]+b[2]&&b[0]<x+width&&y-20<b[1]+4&&b[1]-20<y+4))continue
taken.push([x,y,width]);g.fillStyle=p.state===1?dim:ink;g.fillText(text,x,y);break}})
scaleBar()}
el('legend').innerHTML='<i style="background:hsl('+hue(0)+' 62% 48%)"></i>serves the first layers <i style="background:hsl('+hue(layers/2)+' 62% 48%)"></i>the middle <i style="background:hsl('+hue(layers*.93)+' 62% 48%)"></i>the last <i style="background:var(--c)"></i>none <i style="background:var(--b)"></i>frozen <i style="background:var(--good)"></i>charging × down'+(small?'; lines: bytes on their way; rings: battery':'')
const cursors=[...document.querySelectorAll('.cursor')]
let now=0,playing=false,before=0
function show(t){now=Math.max(0,Math.min(axis.endMs,t));slider.value=1000*now/axis.endMs;draw(now)
const x=axis.left+(axis.width-axis.left-axis.right)*now/axis.endMs
for(const c of cursors){c.setAttribute('x1',x);c.setAttribute('x2',x);c.style.visibility='visible'}}
slider.oninput=()=>{playing=false;play.textContent='Play';show(axis.endMs*slider.value/1000)}
play.onclick=()=>{playing=!playing;play.textContent=playing?'Pause':'Play';if(playing&&now>=axis.endMs)now=0;before=0;if(playing)requestAnimationFrame(step)}
// The whole story takes a minute, however long it is.
function step(ms){if(!playing)return;if(before)show(now+(ms-before)*axis.endMs/60000);before=ms
if(now>=axis.endMs){playing=false;play.textContent='Play'}else requestAnimationFrame(step)}
for(const s of document.querySelectorAll('.chart svg'))s.onclick=e=>{const b=s.getBoundingClientRect(),x=(e.clientX-b.left)/b.width*axis.width
show((x-axis.left)/(axis.width-axis.left-axis.right)*axis.endMs)}
dark.onchange=()=>draw(now)
const asked=/[#&]t=(\\d+)/.exec(location.hash)
show(asked?Number(asked[1])*1000:axis.endMs*.3)
`
